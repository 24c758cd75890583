"""The names of all claims that a token of ours may hold beside those of RFC 9068."""

CLIENT_NAME = "helseid://claims/client/client_name"
CLIENT_TENANCY = "helseid://claims/client/client_tenancy"
ORGNR_PARENT = "helseid://claims/client/claims/orgnr_parent"
ORGNR_CHILD = "helseid://claims/client/claims/orgnr_child"
ORGNR_SUPPLIER = "helseid://claims/client/claims/orgnr_supplier"
JOURNAL_ID = "nhn:sfm:journal_id"
ATTESTATION_CLAIM = "nhn:tillitsrammeverk:parameters"
ESTABLISHED_BY = "practitioner_established_by"
RULE_PACK = "rule_pack_version"
PID = "helseid://claims/identity/pid"
PID_PSEUDONYM = "helseid://claims/identity/pid_pseudonym"
SECURITY_LEVEL = "helseid://claims/identity/security_level"
ASSURANCE_LEVEL = "helseid://claims/identity/assurance_level"
HPR_NUMBER = "helseid://claims/hpr/hpr_number"
NAMES = ("name", "given_name", "middle_name", "family_name")
LOGIN = ("auth_time", "idp", "amr", "sid")

CLAIMS_OF_SCOPE = {
    "profile": NAMES,
    "helseid://scopes/identity/pid": (PID,),
    "helseid://scopes/identity/pid_pseudonym": (PID_PSEUDONYM,),
    "helseid://scopes/identity/security_level": (SECURITY_LEVEL,),
    "helseid://scopes/identity/assurance_level": (ASSURANCE_LEVEL,),
    "helseid://scopes/hpr/hpr_number": (HPR_NUMBER,),
}

AT_WISH = frozenset(
    {
        CLIENT_NAME,
        CLIENT_TENANCY,
        ORGNR_PARENT,
        ORGNR_CHILD,
        ORGNR_SUPPLIER,
        JOURNAL_ID,
        *LOGIN,
        *(claim for claims in CLAIMS_OF_SCOPE.values() for claim in claims),
    }
)
"""What an API may ask for by name; the attestation has a policy of its own."""
