// A verifier for `tillit keys drill`: jose for JavaScript, which knows a key set and tokens and nothing else of us.
//
// It answers lines of JSON. Asked {"jwks": the key set or null for the one before, "tokens": [...]}, it says
// {"refused": {"3": "why"}}, by the places of the tokens whose signature does not verify. Write the same in any
// language to have your own verifier take part:
//
//   npm ci
//   tillit keys drill --verifier "jose=node docs/examples/drill-verifier.mjs"

import { createInterface } from 'node:readline'

import { compactVerify, createLocalJWKSet } from 'jose'

let keys

for await (const line of createInterface({ input: process.stdin })) {
  const { jwks, tokens } = JSON.parse(line)
  if (jwks) keys = createLocalJWKSet(jwks)
  const refused = {}
  for (const [place, token] of tokens.entries()) {
    try {
      await compactVerify(token, keys, { algorithms: ['ES256'] })
    } catch (error) {
      refused[place] = String(error)
    }
  }
  process.stdout.write(JSON.stringify({ refused }) + '\n')
}
