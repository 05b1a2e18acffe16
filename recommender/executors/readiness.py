"""Asks an engine whether it serves."""

from http import HTTPStatus
from urllib.parse import urlsplit

import requests

_TIMEOUT_SECONDS = (2.0, 5.0)  # connect, first byte: a health check that takes longer is no good news


def serves(url: str, path: str) -> bool | None:
    """Whether `GET url+path` answers 200. A redirect is not followed and is no 200.

    False when nothing listens or it does not answer in time; None when the question could not be put (an address
    that cannot be used, a certificate that cannot be checked).
    """
    base = urlsplit(url)
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor a netrc password belongs between us and an engine
        try:
            with session.get(
                f"{base.scheme}://{base.netloc}{path}", timeout=_TIMEOUT_SECONDS, allow_redirects=False, stream=True
            ) as response:
                return response.status_code == HTTPStatus.OK
        except requests.exceptions.SSLError:
            return None
        except (requests.ConnectionError, requests.Timeout):
            return False
        except requests.RequestException:
            return None
