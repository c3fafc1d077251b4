"""Rules that a house may start with: bursts, sprees, impossible journeys, new devices, lists.

Velocity caps are rules over counts and sums: ``card_count_1h > 10`` is a cap of ten payments an hour and card, the payment
itself included. The thresholds are first guesses to be back-tested on a house's own log, not measurements; amounts stand
in EUR and hold for that currency only, ``value`` is in hundredths of any. What declines outright takes several signs at
once; single signs ask for one extra step. Everything has an owner, tests and a reason.
"""

STARTER_RULES = """\
# Stolen numbers are tried out with small amounts, from one address or device, and most are declined.
card testing from an address: when address_cards_1d > 5 and address_declines_1h >= 4 then decline because "many cards tried from one network address" owner risk
    test "an attack": address_cards_1d = 12, address_declines_1h = 9 -> matches
    test "an office at lunch": address_cards_1d = 40, address_declines_1h = 1 -> does not match
    test "address unknown": address_cards_1d = unknown, address_declines_1h = 9 -> does not match
card testing from a device: when device_cards_30d > 3 and device_declines_1h >= 3 then decline because "many cards tried on one device" owner risk
    test "an attack": device_cards_30d = 6, device_declines_1h = 4 -> matches
    test "a family": device_cards_30d = 4, device_declines_1h = 0 -> does not match
card tried again and again: when card_declines_1h >= 4 and not is_recurring then decline because "declined again and again within an hour" owner risk
    test "a fifth try": card_declines_1h = 4, is_recurring = false -> matches
    test "a subscription's retries": card_declines_1h = 4, is_recurring = true -> does not match

# Velocity caps: payments and money of one card, customer, device or address in a window.
burst of a card: when card_count_1h > 10 and not is_recurring then step_up because "many payments of one card in an hour" owner risk
    test "eleven in an hour": card_count_1h = 11, is_recurring = false -> matches
    test "ten in an hour": card_count_1h = 10, is_recurring = false -> does not match
burst of a device: when device_count_1h > 15 then step_up because "many payments on one device in an hour" owner risk
    test "sixteen in an hour": device_count_1h = 16 -> matches
    test "device unknown": device_count_1h = unknown -> does not match
daily sum of a card: when card_sum_1d > 1000000 and card_history < 5 then review because "more than 10,000 in a day with a card that is hardly known" owner risk
    test "a stolen card": card_sum_1d = 1200000, card_history = 2 -> matches
    test "a known card": card_sum_1d = 1200000, card_history = 80 -> does not match

# A stolen card is emptied: amounts far above what its owner pays, several of them within days.
spree: when card_ratio > 2.5 and card_spree_count_14d >= 2 and card_history >= 5 then step_up because "several amounts far above the usual ones" owner risk
    test "the third": card_ratio = 3.1, card_spree_count_14d = 2, card_history = 30 -> matches
    test "the first": card_ratio = 3.1, card_spree_count_14d = 0, card_history = 30 -> does not match

# Nobody is in two countries at once; one odd journey may be a wrong location, so it takes a second sign.
impossible journey: when card_velocity_kmh > 1000 and card_countries_1d > 1 then step_up because "two places that nobody can reach in that time" owner risk
    test "an hour from Lagos": card_velocity_kmh = 4800, card_countries_1d = 2 -> matches
    test "a location corrected": card_velocity_kmh = 4800, card_countries_1d = 1 -> does not match

# Somebody else's card on a device that never saw it.
new device and much money: when pair_card_device == 0 and card_history >= 3 and value > 30000 and card_ratio > 2 then step_up because "a high amount on a device that this card was never used on" owner risk
    test "a first time": pair_card_device = 0, card_history = 12, value = 45000, card_ratio = 4 -> matches
    test "a known pair": pair_card_device = 3, card_history = 12, value = 45000, card_ratio = 4 -> does not match
    test "a small amount": pair_card_device = 0, card_history = 12, value = 900, card_ratio = 0.4 -> does not match
emulator with a foreign card: when sign_emulator == 1 and card_country != address_country then review because "an emulated device abroad" owner risk
    test "both": sign_emulator = 1, card_country = "DE", address_country = "BR" -> matches
    test "country unknown": sign_emulator = 1, card_country = "DE" -> does not match
fraud before: when card_fraud_14d > 0 or device_fraud_30d > 0 then review because "known fraud of the same card or device" owner risk
    test "of the device": card_fraud_14d = 0, device_fraud_30d = 1 -> matches
    test "none": card_fraud_14d = 0, device_fraud_30d = 0 -> does not match

# Lists whose effect is block or allow act by themselves; a list that only marks does what a rule says.
suspects: when listed("suspects") then review because "on the list of suspects" owner risk
    test "listed": listed("suspects") = true -> matches
    test "not listed": listed("suspects") = false -> does not match
"""
