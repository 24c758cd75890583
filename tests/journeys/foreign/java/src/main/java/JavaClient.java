import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.crypto.factories.DefaultJWSSignerFactory;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.SignedJWT;
import com.nimbusds.jwt.proc.DefaultJWTClaimsVerifier;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import com.nimbusds.oauth2.sdk.AuthorizationCodeGrant;
import com.nimbusds.oauth2.sdk.AuthorizationGrant;
import com.nimbusds.oauth2.sdk.AuthorizationRequest;
import com.nimbusds.oauth2.sdk.ClientCredentialsGrant;
import com.nimbusds.oauth2.sdk.PushedAuthorizationRequest;
import com.nimbusds.oauth2.sdk.PushedAuthorizationResponse;
import com.nimbusds.oauth2.sdk.RefreshTokenGrant;
import com.nimbusds.oauth2.sdk.ResponseType;
import com.nimbusds.oauth2.sdk.Scope;
import com.nimbusds.oauth2.sdk.TokenRequest;
import com.nimbusds.oauth2.sdk.TokenResponse;
import com.nimbusds.oauth2.sdk.auth.PrivateKeyJWT;
import com.nimbusds.oauth2.sdk.dpop.DefaultDPoPProofFactory;
import com.nimbusds.oauth2.sdk.dpop.JWKThumbprintConfirmation;
import com.nimbusds.oauth2.sdk.dpop.verifiers.DPoPIssuer;
import com.nimbusds.oauth2.sdk.dpop.verifiers.DPoPProtectedResourceRequestVerifier;
import com.nimbusds.oauth2.sdk.http.HTTPRequest;
import com.nimbusds.oauth2.sdk.http.HTTPResponse;
import com.nimbusds.oauth2.sdk.id.ClientID;
import com.nimbusds.oauth2.sdk.id.Issuer;
import com.nimbusds.oauth2.sdk.id.JWTID;
import com.nimbusds.oauth2.sdk.id.State;
import com.nimbusds.oauth2.sdk.pkce.CodeChallengeMethod;
import com.nimbusds.oauth2.sdk.pkce.CodeVerifier;
import com.nimbusds.oauth2.sdk.token.DPoPAccessToken;
import com.nimbusds.openid.connect.sdk.AuthenticationRequest;
import com.nimbusds.openid.connect.sdk.AuthenticationResponseParser;
import com.nimbusds.openid.connect.sdk.AuthenticationSuccessResponse;
import com.nimbusds.openid.connect.sdk.LogoutRequest;
import com.nimbusds.openid.connect.sdk.Nonce;
import com.nimbusds.openid.connect.sdk.OIDCTokenResponse;
import com.nimbusds.openid.connect.sdk.OIDCTokenResponseParser;
import com.nimbusds.openid.connect.sdk.UserInfoRequest;
import com.nimbusds.openid.connect.sdk.UserInfoResponse;
import com.nimbusds.openid.connect.sdk.claims.IDTokenClaimsSet;
import com.nimbusds.openid.connect.sdk.op.OIDCProviderMetadata;
import com.nimbusds.openid.connect.sdk.token.OIDCTokens;
import com.nimbusds.openid.connect.sdk.validators.IDTokenValidator;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import net.minidev.json.JSONObject;
import net.minidev.json.parser.JSONParser;

/**
 * A client built on Nimbus, as the national service's Java library is: the very same assertion, which lives for
 * five seconds, is sent again after the challenge, with nothing but a new proof.
 *
 * <p>It says what happens in one JSON object a line. A login needs a browser: the address to open goes out, and the
 * address at which the browser ended comes in.
 *
 * <pre>
 * JavaClient machine ISSUER CLIENT_ID KEY_FILE SCOPE DETAILS_FILE
 * JavaClient login   ISSUER CLIENT_ID KEY_FILE SCOPE DETAILS_FILE REDIRECT_URI POST_LOGOUT_REDIRECT_URI
 * </pre>
 */
public final class JavaClient {
  private final OIDCProviderMetadata metadata;
  private final ClientID clientId;
  private final JWK key;
  private final JWSAlgorithm algorithm;
  private final DefaultDPoPProofFactory proofs;
  private final Object details;

  private JavaClient(String issuer, String clientId, String keyFile, String detailsFile) throws Exception {
    this.metadata = OIDCProviderMetadata.resolve(new Issuer(issuer));
    this.clientId = new ClientID(clientId);
    this.key = JWK.parse(Files.readString(Path.of(keyFile)));
    this.algorithm = JWSAlgorithm.parse(key.getAlgorithm().getName());
    this.proofs = new DefaultDPoPProofFactory(key, algorithm);
    this.details = new JSONParser(JSONParser.MODE_PERMISSIVE).parse(Files.readString(Path.of(detailsFile)));
  }

  private static void say(String step, Map<String, Object> members) {
    Map<String, Object> line = new LinkedHashMap<>(members);
    line.put("step", step);
    System.out.println(JSONObject.toJSONString(line));
    System.out.flush();
  }

  private SignedJWT signed(String type, JWTClaimsSet.Builder claims) throws Exception {
    JWSHeader header =
        new JWSHeader.Builder(algorithm).type(new JOSEObjectType(type)).keyID(key.getKeyID()).build();
    SignedJWT token = new SignedJWT(header, claims.build());
    token.sign(new DefaultJWSSignerFactory().createJWSSigner(key, algorithm));
    return token;
  }

  private JWTClaimsSet.Builder claims(int seconds) {
    Instant now = Instant.now();
    return new JWTClaimsSet.Builder()
        .issuer(clientId.getValue())
        .subject(clientId.getValue())
        .audience(metadata.getIssuer().getValue())
        .issueTime(Date.from(now))
        .notBeforeTime(Date.from(now))
        .expirationTime(Date.from(now.plusSeconds(seconds)))
        .jwtID(new JWTID().getValue());
  }

  private PrivateKeyJWT authentication(Object details) throws Exception {
    JWTClaimsSet.Builder claims = claims(5);
    if (details != null) {
      claims.claim("assertion_details", details);
    }
    return new PrivateKeyJWT(signed("client-authentication+jwt", claims));
  }

  private HTTPResponse send(PrivateKeyJWT assertion, AuthorizationGrant grant, Scope scope, Nonce nonce)
      throws Exception {
    TokenRequest request = new TokenRequest(metadata.getTokenEndpointURI(), assertion, grant, scope);
    HTTPRequest http = request.toHTTPRequest();
    http.setDPoP(proofs.createDPoPJWT("POST", http.getURI(), nonce));
    return http.send();
  }

  /** The whole dance with one assertion, which is used a third time in the end. */
  private HTTPResponse dance(Object details, AuthorizationGrant grant, Scope scope) throws Exception {
    PrivateKeyJWT assertion = authentication(details);
    HTTPResponse first = send(assertion, grant, scope, null);
    Nonce nonce = first.getDPoPNonce();
    HTTPResponse second = send(assertion, grant, scope, nonce);
    HTTPResponse third = send(assertion, grant, scope, nonce);
    say("dance", Map.of(
        "first", TokenResponse.parse(first).toErrorResponse().getErrorObject().getCode(),
        "nonce", nonce != null,
        "second", second.getStatusCode(),
        "third", TokenResponse.parse(third).toErrorResponse().getErrorObject().getCode()));
    return second;
  }

  private void sayToken(String step, DPoPAccessToken token) throws Exception {
    String thumbprint = JWKThumbprintConfirmation.parse(readAsApi(token)).getValue().toString();
    if (!key.computeThumbprint().toString().equals(thumbprint)) {
      throw new IllegalStateException("bound to another key");
    }
    say(step, Map.of("access_token", token.getValue(), "lifetime", token.getLifetime(),
        "scope", String.valueOf(token.getScope())));
  }

  /** What an API built on the same library makes of the token and of a proof that comes with it. */
  private JWTClaimsSet readAsApi(DPoPAccessToken token) throws Exception {
    DefaultJWTProcessor<SecurityContext> api = new DefaultJWTProcessor<>();
    api.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")));
    api.setJWSKeySelector(new JWSVerificationKeySelector<>(
        JWSAlgorithm.ES256, JWKSourceBuilder.create(metadata.getJWKSetURI().toURL()).build()));
    api.setJWTClaimsSetVerifier(new DefaultJWTClaimsVerifier<>(
        new JWTClaimsSet.Builder().issuer(metadata.getIssuer().getValue()).build(),
        Set.of("sub", "aud", "exp", "iat", "jti", "client_id", "cnf")));
    JWTClaimsSet claims = api.process(token.getValue(), null);
    URI records = URI.create("https://records.example/documents");
    new DPoPProtectedResourceRequestVerifier(Set.of(algorithm), 10, 60, null)
        .verify("GET", records, new DPoPIssuer(clientId), proofs.createDPoPJWT("GET", records, token), token,
            JWKThumbprintConfirmation.parse(claims), (Nonce) null);
    return claims;
  }

  private void machine(Scope scope) throws Exception {
    HTTPResponse answer = dance(details, new ClientCredentialsGrant(), scope);
    sayToken("token", TokenResponse.parse(answer).toSuccessResponse().getTokens().getDPoPAccessToken());
  }

  private OIDCTokens tokens(HTTPResponse answer) throws Exception {
    TokenResponse parsed = OIDCTokenResponseParser.parse(answer);
    if (!parsed.indicatesSuccess()) {
      throw new IllegalStateException(answer.getBody());
    }
    return ((OIDCTokenResponse) parsed.toSuccessResponse()).getOIDCTokens();
  }

  private void login(Scope scope, URI redirectUri, URI afterLogout) throws Exception {
    State state = new State();
    Nonce nonce = new Nonce();
    CodeVerifier verifier = new CodeVerifier();
    AuthenticationRequest asked =
        new AuthenticationRequest.Builder(ResponseType.CODE, scope, clientId, redirectUri)
            .state(state)
            .nonce(nonce)
            .codeChallenge(verifier, CodeChallengeMethod.S256)
            .dPoPJWKThumbprintConfirmation(
                new JWKThumbprintConfirmation(key.computeThumbprint()))
            .build();
    HTTPResponse pushed = new PushedAuthorizationRequest(
        metadata.getPushedAuthorizationRequestEndpointURI(), authentication(null), asked).toHTTPRequest().send();
    PushedAuthorizationResponse parsed = PushedAuthorizationResponse.parse(pushed);
    if (!parsed.indicatesSuccess()) {
      throw new IllegalStateException(pushed.getBody());
    }
    URI requestUri = parsed.toSuccessResponse().getRequestURI();
    say("authorize", Map.of("url", new AuthorizationRequest.Builder(requestUri, clientId)
        .endpointURI(metadata.getAuthorizationEndpointURI()).build().toURI().toString()));

    String back = new BufferedReader(new InputStreamReader(System.in)).readLine();
    AuthenticationSuccessResponse answer =
        AuthenticationResponseParser.parse(URI.create(back.trim())).toSuccessResponse();
    if (!metadata.getIssuer().equals(answer.getIssuer()) || !state.equals(answer.getState())) {
      throw new IllegalStateException("not our answer");
    }
    OIDCTokens tokens = tokens(dance(null,
        new AuthorizationCodeGrant(answer.getAuthorizationCode(), redirectUri, verifier), null));
    sayToken("token", tokens.getDPoPAccessToken());
    say("id_token", Map.of("claims", identity(tokens, nonce).toJSONObject()));

    HTTPRequest http =
        new UserInfoRequest(metadata.getUserInfoEndpointURI(), tokens.getDPoPAccessToken()).toHTTPRequest();
    http.setDPoP(proofs.createDPoPJWT("GET", metadata.getUserInfoEndpointURI(), tokens.getDPoPAccessToken()));
    UserInfoResponse user = UserInfoResponse.parse(http.send());
    say("userinfo", Map.of("claims", user.toSuccessResponse().getUserInfo().toJSONObject()));

    if (tokens.getRefreshToken() != null) {
      OIDCTokens renewed = tokens(dance(details, new RefreshTokenGrant(tokens.getRefreshToken()), null));
      sayToken("refreshed", renewed.getDPoPAccessToken());
      say("refreshed_id_token", Map.of("claims", identity(renewed, null).toJSONObject(),
          "same_refresh_token", tokens.getRefreshToken().equals(renewed.getRefreshToken())));
    }
    say("logout", Map.of("url", new LogoutRequest(metadata.getEndSessionEndpointURI(), tokens.getIDToken(),
        afterLogout, new State()).toURI().toString()));
  }

  private IDTokenClaimsSet identity(OIDCTokens tokens, Nonce nonce) throws Exception {
    JWSAlgorithm used = JWSAlgorithm.parse(tokens.getIDToken().getHeader().getAlgorithm().getName());
    return new IDTokenValidator(metadata.getIssuer(), clientId, used, metadata.getJWKSetURI().toURL())
        .validate(tokens.getIDToken(), nonce);
  }

  public static void main(String[] arguments) throws Exception {
    JavaClient client = new JavaClient(arguments[1], arguments[2], arguments[3], arguments[5]);
    Scope scope = Scope.parse(arguments[4]);
    if (arguments[0].equals("machine")) {
      client.machine(scope);
    } else {
      client.login(scope, URI.create(arguments[6]), URI.create(arguments[7]));
    }
  }
}
