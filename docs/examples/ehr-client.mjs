// An EHR in JavaScript: a person logs in, and each patient's documents are asked for with a token that attests why.
//
// With several --attestation, one for each patient, there is still one login: each refresh brings the next token. With
// --at-login there is one attestation, made before the login, and every token has it.
// What the profile demands and a certified library does not do by itself is marked PROFILE; there are four places.
// Everything that happens is said in one line of JSON, so that another program can read along.
//
//   npm ci
//   node ehr-client.mjs --issuer http://127.0.0.1:8080 --client-id dev-login --key .data/clients/dev-login.jwk \
//       --attestation attestation-specialist-care.json --url http://127.0.0.1:8090/documents/search
//
// It prints the address at which to log in, and waits for the browser to come back. With --as NUMBER it goes through
// the development test provider without a browser, as the person with that (made up) national identity number.

import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { parseArgs } from 'node:util'

import { importJWK } from 'jose'
import * as oidc from 'openid-client'

const { values: settings } = parseArgs({
  options: {
    issuer: { type: 'string' },
    'client-id': { type: 'string' },
    key: { type: 'string' },
    scope: {
      type: 'string',
      default:
        'openid profile offline_access helseid://scopes/identity/pid helseid://scopes/identity/security_level ' +
        'helseid://scopes/hpr/hpr_number nhn:phr/mhd/read-documentreferences nhn:tillitsrammeverk:parameters',
    },
    attestation: { type: 'string', multiple: true, default: [] },
    'at-login': { type: 'boolean', default: false },
    'redirect-uri': { type: 'string', default: 'http://127.0.0.1:8765/callback' },
    as: { type: 'string' },
    url: { type: 'string' },
  },
})

function say(step, members = {}) {
  console.log(JSON.stringify({ step, ...members }))
}

// ---------------------------------------------------------------------------------------------------------------------
// The client

const jwk = JSON.parse(await readFile(settings.key, 'utf8'))
const key = { key: await importJWK(jwk, jwk.alg), kid: jwk.kid }

// PROFILE: what we attest travels inside the client assertion, signed with it, and counts for the one token that this
// request is answered with. The library asks us to look over each assertion before it is signed.
let attestation
const authentication = oidc.PrivateKeyJwt(key, {
  [oidc.modifyAssertion]: (header, claims) => {
    header.typ = 'client-authentication+jwt'
    if (attestation) claims.assertion_details = attestation
  },
})

const issuer = new URL(settings.issuer)
const config = await oidc.discovery(
  issuer,
  settings['client-id'],
  { id_token_signed_response_alg: 'ES256', require_auth_time: true },
  authentication,
  // Only development mode speaks plain HTTP, and only on this machine.
  { execute: issuer.protocol === 'http:' ? [oidc.allowInsecureRequests] : [] },
)
oidc.enableNonRepudiationChecks(config) // verify the signature of ID tokens too, although TLS brought them
const metadata = config.serverMetadata()
say('discovered', { issuer: metadata.issuer, par: metadata.pushed_authorization_request_endpoint })

// PROFILE: every token is bound to a key that only we have (DPoP). The handle makes the proofs, and repeats a request
// with the nonce that the service asks for. One key for a login, as long as its refresh token lives.
const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair('ES256'))

// ---------------------------------------------------------------------------------------------------------------------
// The login: the request is pushed, so that the browser carries nothing but a reference to it

const attestations = await Promise.all(settings.attestation.map(async (file) => JSON.parse(await readFile(file))))

// PROFILE: the moment of attesting is ours to state.
function stated(position) {
  return attestations[position] && { toa: Math.floor(Date.now() / 1000), ...attestations[position] }
}

const verifier = oidc.randomPKCECodeVerifier()
const checks = { pkceCodeVerifier: verifier, expectedState: oidc.randomState(), expectedNonce: oidc.randomNonce() }
let request = new URLSearchParams({
  redirect_uri: settings['redirect-uri'],
  scope: settings.scope,
  code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256',
  state: checks.expectedState,
  nonce: checks.expectedNonce,
  acr_values: 'Level4', // whoever attests has logged in at the highest level
})
if (settings['at-login']) {
  // PROFILE: what is attested before the login has to be signed, so the whole request is (RFC 9101).
  request.set('authorization_details', JSON.stringify([stated(0)]))
  request = (await oidc.buildAuthorizationUrlWithJAR(config, request, key)).searchParams
}
const address = await oidc.buildAuthorizationUrlWithPAR(config, request, { DPoP })
say('authorize', { url: address.href })
const back = settings.as ? await logInWithoutBrowser(address) : await waitForBrowser()
say('back', { parameters: [...back.searchParams.keys()].sort() })

// ---------------------------------------------------------------------------------------------------------------------
// The tokens: state, issuer, nonce, signature, times and the binding are the library's business

// Each token gets its own attestation, unless the login has one for all.
function attest(position) {
  attestation = settings['at-login'] ? undefined : stated(position)
}

attest(0)
let tokens = await oidc.authorizationCodeGrant(config, back, { ...checks, idTokenExpected: true }, undefined, { DPoP })
const person = tokens.claims()
say('tokens', told(tokens))
await useToken(tokens, attestations[0])

const user = await oidc.fetchUserInfo(config, tokens.access_token, person.sub, { DPoP })
say('userinfo', { claims: user })

// Another patient, another attestation: the refresh token gives a new access token without a new login.
for (let patient = 1; patient < attestations.length; patient += 1) {
  attest(patient)
  tokens = await oidc.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
  say('refreshed', told(tokens))
  await useToken(tokens, attestations[patient])
}

say('logout', { url: oidc.buildEndSessionUrl(config, { id_token_hint: tokens.id_token }).href })

function told(answer) {
  const { access_token, token_type, expires_in, scope, rt_expires_in } = answer
  return { access_token, token_type, expires_in, scope, rt_expires_in, id_token: answer.claims() }
}

// The patient's number goes into a form: addresses end up in logs.
async function useToken(answer, attested) {
  const patient = attested?.patients[0]?.identifier
  if (!settings.url || !patient) return
  const documents = await oidc.fetchProtectedResource(
    config,
    answer.access_token,
    new URL(settings.url),
    'POST',
    new URLSearchParams({ patient: patient.id }),
    new Headers(),
    { DPoP },
  )
  say('documents', { status: documents.status, found: await documents.json() })
}

// ---------------------------------------------------------------------------------------------------------------------
// The browser

// RFC 8252: a native application listens on the loopback address while the login lasts.
function waitForBrowser() {
  const redirect = new URL(settings['redirect-uri'])
  return new Promise((resolve, reject) => {
    const server = createServer((request, response) => {
      const url = new URL(request.url, redirect)
      if (url.pathname !== redirect.pathname) {
        response.writeHead(404).end()
        return
      }
      response.writeHead(200, { 'Content-Type': 'text/plain', Connection: 'close' }).end('You may close this window.')
      server.close(() => resolve(url))
    })
    server.on('error', reject)
    server.listen(Number(redirect.port), redirect.hostname)
  })
}

// What a browser does, for a machine that has none: it keeps cookies, follows redirects, and fills in one form. This
// works with the development test provider alone.
async function logInWithoutBrowser(start) {
  const cookies = new Map()
  let url = start
  let sent = {}
  for (let steps = 0; steps < 20; steps += 1) {
    const headers = { Cookie: [...cookies].map((pair) => pair.join('=')).join('; ') }
    const response = await fetch(url, { ...sent, headers, redirect: 'manual' })
    for (const cookie of response.headers.getSetCookie()) {
      const [name, value] = cookie.split(';')[0].split(/=(.*)/s)
      cookies.set(name, value)
    }
    const location = response.headers.get('Location')
    if (location) {
      url = new URL(location, url)
      sent = {}
      if (url.href.startsWith(settings['redirect-uri'])) return url
    } else {
      const page = await response.text()
      const [, action] = page.match(/<form method="post" action="([^"]+)" id="other"/) ?? []
      if (!action) throw new Error(`no login form at ${url}: ${response.status} ${page}`)
      const hidden = page.matchAll(/<input type="hidden" name="([^"]+)" value="([^"]*)">/g)
      const form = new URLSearchParams([...hidden].map(([, name, value]) => [name, value]))
      form.set('number', settings.as)
      form.set('level', 'level4')
      url = new URL(action, url)
      sent = { method: 'POST', body: new URLSearchParams(Object.fromEntries(form)) }
    }
  }
  throw new Error('the login does not end')
}
