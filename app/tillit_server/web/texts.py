"""What the pages say, in Norwegian (bokmål) and English, and which of the two a browser gets."""

from collections.abc import Iterable, Mapping
from typing import Final

DEFAULT: Final = "nb"

TEST_MARKS: Final[Mapping[str, str]] = {"nb": "ikke ekte innlogging", "en": "not a real login"}
"""What every page of the test provider says, in both languages whoever reads."""

TEXTS: Final[Mapping[str, Mapping[str, str]]] = {
    "nb": {
        "cancel": "Avbryt",
        "choose_title": "Velg innlogging",
        "choose_lead": "Du logger inn i",
        "choose_lead_unnamed": "Velg hvordan du vil logge inn.",
        "error_title": "Innloggingen kan ikke fortsette",
        "error_lead": "Forespørselen fra systemet du kom fra, kan ikke brukes slik den er.",
        "error_again": "Gå tilbake til systemet du kom fra, og prøv på nytt derfra.",
        "error_help": "Hvis det skjer igjen, gi feil-ID-en til dem som drifter systemet.",
        "error_code": "Feilkode",
        "error_description": "Beskrivelse (engelsk)",
        "error_id": "Feil-ID",
        "limited_title": "Vent litt før du prøver igjen",
        "limited_lead": "Det kommer for mange forespørsler herfra akkurat nå. Ingenting er gått tapt.",
        "limited_again": "Vent så lenge som det står her, og last så siden på nytt.",
        "limited_wait": "Sekunder å vente",
        "away_title": "Innlogging er ikke tilgjengelig akkurat nå",
        "away_lead": "Innloggingstjenesten svarer ikke. Ingenting er gått tapt.",
        "away_again": "Prøv igjen",
        "post_title": "Tilbake til systemet",
        "post_lead": "Trykk på knappen for å komme tilbake til systemet du kom fra.",
        "post_button": "Fortsett",
        "log_out_title": "Vil du logge ut?",
        "log_out_client": "Forespørselen kom fra",
        "log_out_lead": "Du er logget inn her. Systemene du bruker, må du logge ut av hver for seg.",
        "log_out_press": "Trykk på knappen for å fullføre utloggingen.",
        "log_out_button": "Logg ut",
        "log_out_error_title": "Utloggingen kan ikke fortsette",
        "logged_out_title": "Du er logget ut",
        "logged_out_lead": "Neste gang noen logger inn i denne nettleseren, må de gjøre det på nytt.",
        "test_title": "Testinnlogging",
        "test_lead": "Velg hvem du vil være. Alle personene er oppdiktet.",
        "test_level": "Sikkerhetsnivå",
        "test_people": "Personer",
        "test_other": "En annen oppdiktet person",
        "test_number": "Fødselsnummer eller D-nummer (11 siffer)",
        "test_log_in": "Logg inn",
        "test_hpr": "HPR-nummer",
        "test_error_title": "Testinnloggingen kan ikke fortsette",
        "test_not_synthetic": "Dette er ikke et oppdiktet fødselsnummer eller D-nummer.",
    },
    "en": {
        "cancel": "Cancel",
        "choose_title": "Choose how to log in",
        "choose_lead": "You are logging in to",
        "choose_lead_unnamed": "Choose how you want to log in.",
        "error_title": "The login cannot go on",
        "error_lead": "The request of the system you came from cannot be used as it is.",
        "error_again": "Go back to the system you came from, and try again from there.",
        "error_help": "If it happens again, give the error id to those who run the system.",
        "error_code": "Error code",
        "error_description": "Description",
        "error_id": "Error id",
        "limited_title": "Wait a little before you try again",
        "limited_lead": "Too many requests come from here just now. Nothing is lost.",
        "limited_again": "Wait for as long as it says here, then load the page again.",
        "limited_wait": "Seconds to wait",
        "away_title": "Login is not available just now",
        "away_lead": "The login service does not answer. Nothing is lost.",
        "away_again": "Try again",
        "post_title": "Back to the system",
        "post_lead": "Press the button to return to the system you came from.",
        "post_button": "Continue",
        "log_out_title": "Do you want to log out?",
        "log_out_client": "The request came from",
        "log_out_lead": "You are logged in here. The systems you use have to be logged out of one by one.",
        "log_out_press": "Press the button to complete the logout.",
        "log_out_button": "Log out",
        "log_out_error_title": "The logout cannot go on",
        "logged_out_title": "You are logged out",
        "logged_out_lead": "Whoever logs in with this browser next will have to do so anew.",
        "test_title": "Test login",
        "test_lead": "Choose who you want to be. All persons are made up.",
        "test_level": "Security level",
        "test_people": "Persons",
        "test_other": "Another made-up person",
        "test_number": "Birth number or D-number (11 digits)",
        "test_log_in": "Log in",
        "test_hpr": "HPR number",
        "test_error_title": "The test login cannot go on",
        "test_not_synthetic": "This is not a made-up birth number or D-number.",
    },
}

# Norwegian readers of any kind are served by bokmål.
_LANGUAGES: Final[Mapping[str, str]] = {
    "nb": "nb",
    "no": "nb",
    "nn": "nb",
    "da": "nb",
    "sv": "nb",
    "en": "en",
}


def language_of(ui_locales: Iterable[str], accepted: Iterable[str]) -> str:
    """The language of a page: what the client asked for, else what the browser prefers, else bokmål.

    ``accepted``: the tags of ``Accept-Language``, best first.
    """
    for tag in (*ui_locales, *accepted):
        known = _LANGUAGES.get(tag.partition("-")[0].lower())
        if known:
            return known
    return DEFAULT
