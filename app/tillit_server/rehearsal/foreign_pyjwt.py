"""A program that verifies with PyJWT: it knows a key set and tokens, and nothing else of us.

Asked ``{"jwks": the key set or null for the one before, "tokens": […]}``, it answers
``{"refused": {"3": "why"}}``, by the places of the tokens that do not verify.
"""

import jwt

from tillit_server.rehearsal.lines import Json, answer_lines


class _Verifier:
    def __init__(self) -> None:
        self._keys: jwt.PyJWKSet

    def answer(self, asked: Json) -> Json:
        if asked["jwks"]:
            self._keys = jwt.PyJWKSet.from_dict(asked["jwks"])
        refused = {}
        for place, token in enumerate(asked["tokens"]):
            try:
                key = self._keys[jwt.get_unverified_header(token)["kid"]]
                jwt.PyJWS().decode(token, key, algorithms=["ES256"])
            except (jwt.PyJWTError, KeyError) as error:
                refused[str(place)] = repr(error)
        return {"refused": refused}


if __name__ == "__main__":
    answer_lines(_Verifier().answer)
