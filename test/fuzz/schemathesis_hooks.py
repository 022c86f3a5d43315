"""Turns what schemathesis makes up into what gets past the first look: a kid into one of a key that is there, text into
base64. What fits its schema goes on to do so, and what breaks it is left alone, or it would not be refused."""

import base64
import json
import os
from urllib.parse import quote

import schemathesis

KIDS = json.loads(os.environ["RON_KMS_KIDS"])
WRAPPED = os.environ["RON_KMS_WRAPPED"]
TILES = ["0/000.p/1", "0/000.p/5", "entries/000.p/2", "1/000", "0/000"]
KID_CHARS_MAX = 209
KID_SET_MAX = 16
ALG_CHARS_MAX = 32
SIGNING = [kid for kid in KIDS if kid.split("/")[2].startswith(("ed25519", "ml-dsa", "mldsa"))]
WRAPPING = [kid for kid in KIDS if kid not in SIGNING]
RIVALS = {"payload_b64": "payload_b3", "plaintext_key_b64": "size", "kid_set": "kid"}


def number_of(text):
    return sum(text.encode("utf-8", "surrogatepass"))


def one_of(values, text):
    return values[number_of(text) % len(values)]


def fits(text, longest=KID_CHARS_MAX):
    return isinstance(text, str) and 1 <= len(text) <= longest


def fits_as(name, value):
    if name == "kid_set":
        return isinstance(value, list) and 1 <= len(value) <= KID_SET_MAX and all(fits(kid) for kid in value)
    return isinstance(value, str)


def kids_for(path):
    if "/sign" in path or "/verify" in path:
        return SIGNING
    return WRAPPING if "wrap" in path else KIDS


def mend(value, kids, name=""):
    if isinstance(value, dict):
        mended = {key: mend(inner, kids, key) for key, inner in value.items()}
        for one, other in RIVALS.items():
            if fits_as(one, value.get(one)) and other in value:
                del mended[one]
        # Few of what is made up are above the last one.
        if isinstance(value.get("nonce_b64"), str):
            del mended["nonce_b64"]
        mend_first_signature(mended)
        return mended
    if isinstance(value, list):
        return [mend(inner, kids, name) for inner in value]
    if name in ("kid", "kid_set") and fits(value):
        return one_of(kids, value)
    if name == "wrapped_b64" and isinstance(value, str) and number_of(value) % 2 == 0:
        return WRAPPED
    if name.endswith("_b64") and isinstance(value, str):
        return base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()
    return value


def mend_first_signature(body):
    """Of an algorithm that the key has."""
    kid, sigs = body.get("kid"), body.get("sigs")
    if kid not in KIDS or not isinstance(sigs, list) or not sigs or not isinstance(sigs[0], dict):
        return
    first = sigs[0]
    if fits(first.get("alg"), ALG_CHARS_MAX):
        first["alg"] = kid.split("/")[2].split("+")[0]
    if fits(first.get("parameter_set"), ALG_CHARS_MAX):
        del first["parameter_set"]


@schemathesis.hook
def before_call(ctx, case, kwargs):
    if isinstance(case.body, dict):
        case.body = mend(case.body, kids_for(case.path))
    if isinstance(case.query, dict) and fits(case.query.get("kid")):
        case.query["kid"] = one_of(KIDS, case.query["kid"])
    path = case.path_parameters
    if isinstance(path, dict) and fits(path.get("kid")):
        path["kid"] = quote(one_of(KIDS, path["kid"]), safe="")
    if isinstance(path, dict) and isinstance(path.get("tile"), str):
        path["tile"] = one_of(TILES, path["tile"])
