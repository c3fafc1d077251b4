"""Account numbers for faces, which know no policies: checked before anything is kept."""

from tongbao.clearing.policy import destinations as policy


def account_number(scheme: str, number: str, agent_code: str = "", country: str = "") -> policy.AccountNumber:
    """Return an account that can exist: an IBAN, or a local one with its bank's code and country.

    Raises InvalidRequest as ``policy.destinations.account_number`` does; no message repeats the number.
    """
    return policy.account_number(scheme, number, agent_code, country)
