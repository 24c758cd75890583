// A client as the oldest published Go samples are: golang.org/x/oauth2 finds out by itself how to
// authenticate, go-oidc verifies, and the client assertion travels as two extra parameters.
//
// It says what happens in one JSON object a line. A login needs a browser: the address to open goes out,
// and the address at which the browser ended comes in.
//
//	go-client machine ISSUER CLIENT_ID KEY_FILE SCOPE
//	go-client login   ISSUER CLIENT_ID KEY_FILE SCOPE REDIRECT_URI POST_LOGOUT_REDIRECT_URI
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

type client struct {
	id       string
	signer   jose.Signer
	provider *oidc.Provider
	scopes   []string
}

// counter notes how each token request authenticated, for that is what the samples leave to their library.
type counter struct{ styles []string }

func (c *counter) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodPost {
		style := "form"
		if _, secret, found := request.BasicAuth(); found {
			style = fmt.Sprintf("basic with a secret of %d", len(secret))
		}
		c.styles = append(c.styles, style)
	}
	return http.DefaultTransport.RoundTrip(request)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func say(step string, members map[string]any) {
	members["step"] = step
	line, err := json.Marshal(members)
	must(err)
	fmt.Println(string(line))
}

func unguessable() string {
	octets := make([]byte, 24)
	_, err := rand.Read(octets)
	must(err)
	return hex.EncodeToString(octets)
}

func (c *client) signed(claims any) string {
	token, err := jwt.Signed(c.signer).Claims(claims).Serialize()
	must(err)
	return token
}

// assertion has no typ, and an array of one as its audience: the token endpoint.
func (c *client) assertion() string {
	now := time.Now().Unix()
	return c.signed(map[string]any{
		"iss": c.id, "sub": c.id, "aud": []string{c.provider.Endpoint().TokenURL}, "jti": unguessable(),
		"iat": now, "nbf": now, "exp": now + 60,
	})
}

func (c *client) machine(ctx context.Context) {
	config := clientcredentials.Config{
		ClientID: c.id, TokenURL: c.provider.Endpoint().TokenURL, Scopes: c.scopes,
		EndpointParams: url.Values{"client_assertion": {c.assertion()}, "client_assertion_type": {assertionType}},
	}
	token, err := config.Token(ctx)
	must(err)
	say("token", map[string]any{"access_token": token.AccessToken, "token_type": token.TokenType})
}

func (c *client) login(ctx context.Context, redirectURI, afterLogout string) {
	config := oauth2.Config{
		ClientID: c.id, RedirectURL: redirectURI, Endpoint: c.provider.Endpoint(), Scopes: c.scopes,
	}
	state, nonce, verifier := unguessable(), unguessable(), oauth2.GenerateVerifier()
	now := time.Now()
	// The request object repeats every parameter, has neither iat nor sub, and lives for a minute.
	object := c.signed(map[string]any{
		"iss": c.id, "client_id": c.id, "aud": c.issuer(), "jti": unguessable(),
		"nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"response_type": "code", "redirect_uri": redirectURI, "scope": strings.Join(c.scopes, " "),
		"state": state, "nonce": nonce,
		"code_challenge": oauth2.S256ChallengeFromVerifier(verifier), "code_challenge_method": "S256",
	})
	say("authorize", map[string]any{"url": config.AuthCodeURL(state,
		oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce), oauth2.SetAuthURLParam("request", object))})

	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	must(err)
	back, err := url.Parse(strings.TrimSpace(line))
	must(err)
	if back.Query().Get("state") != state {
		log.Fatal("the state is not ours")
	}
	token, err := config.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier),
		oauth2.SetAuthURLParam("client_assertion", c.assertion()),
		oauth2.SetAuthURLParam("client_assertion_type", assertionType))
	must(err)
	raw, _ := token.Extra("id_token").(string)
	verified, err := c.provider.Verifier(&oidc.Config{ClientID: c.id}).Verify(ctx, raw)
	must(err)
	if verified.Nonce != nonce {
		log.Fatal("the nonce is not ours")
	}
	if verified.AccessTokenHash != "" {
		must(verified.VerifyAccessToken(token.AccessToken))
	}
	var claims map[string]any
	must(verified.Claims(&claims))
	say("token", map[string]any{
		"access_token": token.AccessToken, "token_type": token.TokenType, "id_token": claims,
	})

	user, err := c.provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	must(err)
	say("userinfo", map[string]any{"subject": user.Subject})

	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	must(c.provider.Claims(&metadata))
	query := url.Values{"id_token_hint": {raw}, "post_logout_redirect_uri": {afterLogout}}
	say("logout", map[string]any{"url": metadata.EndSession + "?" + query.Encode()})
}

func (c *client) issuer() string {
	var metadata struct {
		Issuer string `json:"issuer"`
	}
	must(c.provider.Claims(&metadata))
	return metadata.Issuer
}

func main() {
	log.SetFlags(0)
	mode, issuer, id, keyFile, scope := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	text, err := os.ReadFile(keyFile)
	must(err)
	var key jose.JSONWebKey
	must(json.Unmarshal(text, &key))
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, nil)
	must(err)
	count := &counter{}
	ctx := oidc.ClientContext(context.Background(), &http.Client{Transport: count, Timeout: 20 * time.Second})
	provider, err := oidc.NewProvider(ctx, issuer)
	must(err)
	c := &client{id: id, signer: signer, provider: provider, scopes: strings.Fields(scope)}
	if mode == "machine" {
		c.machine(ctx)
	} else {
		c.login(ctx, os.Args[6], os.Args[7])
	}
	say("end", map[string]any{"authenticated_by": count.styles})
}
