"""A program that verifies with joserfc, as ``foreign_pyjwt`` does with PyJWT."""

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from tillit_server.rehearsal.lines import Json, answer_lines


class _Verifier:
    def __init__(self) -> None:
        self._keys = KeySet([])

    def answer(self, asked: Json) -> Json:
        if asked["jwks"]:
            self._keys = KeySet.import_key_set(asked["jwks"])
        refused = {}
        for place, token in enumerate(asked["tokens"]):
            try:
                jws.deserialize_compact(token, self._keys, algorithms=["ES256"])
            except (JoseError, ValueError) as error:
                refused[str(place)] = repr(error)
        return {"refused": refused}


if __name__ == "__main__":
    answer_lines(_Verifier().answer)
