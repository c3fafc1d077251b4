"""How far a device is trusted for a payer: by how long they have known each other, proofs, company and signs.

Trust is ``1 - (1 - acquaintance) * (1 - proof)``, lessened by each sign that counts against the device and by every card on it
beyond those of a household. Acquaintance grows with half of what is missing every 30 days and never says more
than 0.8: a stolen device is old, too. Each proof closes half of the gap, and its weight halves in 90 days. A proof counts
for the one pair of payer and device that gave it. The numbers are ours, chosen to be plain; models learn how much trust is worth.
"""

from tongbao.risk.models.borrowing import borrowing

ACQUAINTED_MAX = 0.8
ACQUAINTED_HALF_MS = 30 * 86_400_000
PROOF_HALF_MS = 90 * 86_400_000
HOUSEHOLD_CARDS = 3
SIGNS = 5
FACTORS = (0.2, 0.7, 0.6, 0.6, 0.2)
"""What remains of trust under each of ``DeviceSign``: emulator, VPN, rooted, time zone, headless."""


@borrowing
def faded(proofs: float, gap_ms: int) -> float:
    """Return what is left of a weight of proofs after a time."""
    return proofs * 0.5 ** (max(gap_ms, 0) / PROOF_HALF_MS)  # type: ignore[no-any-return]  # a float to native code


@borrowing
def device_trust(acquainted_ms: int, proofs: float, cards: int, signs: int) -> float:
    """Return trust in [0, 1]; ``cards`` are the different ones on the device in 30 days, this one included."""
    acquaintance: float = ACQUAINTED_MAX * (1.0 - 0.5 ** (acquainted_ms / ACQUAINTED_HALF_MS))
    proof: float = 1.0 - 0.5**proofs
    trust = 1.0 - (1.0 - acquaintance) * (1.0 - proof)
    if cards > HOUSEHOLD_CARDS:
        trust = trust * HOUSEHOLD_CARDS / cards
    for sign in range(SIGNS):
        if signs & (1 << sign):
            trust = trust * FACTORS[sign]
    return trust
