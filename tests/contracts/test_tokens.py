"""The tokens: who mints, who burns, and how they say so."""

from venue import HOUR, UPGRADE_DELAY, Venue, only, reverts

from offchain.domain.keccak import keccak


def test_names_and_decimals(venue: Venue) -> None:
    described = [(token.symbol(), token.decimals()) for token in (venue.usdc, venue.cxpt, venue.btc)]
    assert described == [("tUSDC", 6), ("CXPT", 18), ("hBTC", 18)]


def test_a_synth_has_one_minter(venue: Venue) -> None:
    assert venue.btc.minter() == venue.vault.address
    for sender in (venue.admin, venue.bob):
        with reverts("NotMinter", caller=sender.address):
            venue.btc.mint(sender, 1, sender=sender)
        with reverts("NotMinter", caller=sender.address):
            venue.btc.burn(1, sender=sender)


def test_a_synth_is_a_clone_with_a_known_address(venue: Venue) -> None:
    factory, predicted = venue.synth_factory, venue.synth_factory.predictSynth("Ether", "hETH")
    receipt = factory.createSynth("Ether", "hETH", sender=venue.admin)
    created = {"synth": predicted, "name": "Ether", "symbol": "hETH"}
    assert only(receipt, factory.SynthCreated) == created
    assert (factory.synthOf("hETH"), factory.isSynth(predicted)) == (predicted, True)
    assert receipt.gas_used <= 300_000
    with reverts("SymbolTaken", symbol="hETH"):
        factory.createSynth("Another Ether", "hETH", sender=venue.admin)
    for name, symbol in (("", "X"), ("X", ""), ("X" * 32, "X")):
        with reverts("MalformedName"):
            factory.createSynth(name, symbol, sender=venue.admin)
    role = keccak(b"CREATOR_ROLE")
    with reverts("AccessControlUnauthorizedAccount", account=venue.bob.address, neededRole=role):
        factory.createSynth("X", "X", sender=venue.bob)
    for synth in (venue.btc, venue.synth_implementation):
        with reverts("InvalidInitialization"):
            synth.initialize("Mine", "MINE", sender=venue.bob)


def test_cxpt_is_minted_by_the_vault_only(venue: Venue) -> None:
    role = keccak(b"MINTER_ROLE")
    assert venue.cxpt.hasRole(role, venue.vault)
    for sender in (venue.admin, venue.bob):
        with reverts("AccessControlUnauthorizedAccount", account=sender.address, neededRole=role):
            venue.cxpt.mint(sender, 1, sender=sender)


def test_anyone_mints_play_money(venue: Venue) -> None:
    venue.usdc.mint(venue.carol, 5, sender=venue.bob)
    assert venue.usdc.balanceOf(venue.carol) == 5


def test_a_permit_is_used_once_and_in_time(venue: Venue) -> None:
    alice, deadline = venue.alice, venue.now + HOUR
    v, r, s = venue.permit(alice, 9, deadline)
    venue.usdc.permit(alice, venue.vault, 9, deadline, v, r, s, sender=venue.bob)
    assert venue.usdc.allowance(alice, venue.vault) == 9
    with reverts("ERC2612InvalidSigner"):
        venue.usdc.permit(alice, venue.vault, 9, deadline, v, r, s, sender=venue.bob)
    v, r, s = venue.permit(alice, 9, deadline)
    venue.next_at(deadline + 1)
    with reverts("ERC2612ExpiredSignature", deadline=deadline):
        venue.usdc.permit(alice, venue.vault, 9, deadline, v, r, s, sender=venue.bob)


def test_the_timelock_waits_a_day(venue: Venue) -> None:
    assert venue.timelock.getMinDelay() == UPGRADE_DELAY
    call = (venue.usdc, 0, b"", bytes(32), bytes(32))
    with reverts("TimelockInsufficientDelay", minDelay=UPGRADE_DELAY):
        venue.timelock.schedule(*call, UPGRADE_DELAY - 1, sender=venue.admin)
    with reverts("AccessControlUnauthorizedAccount", account=venue.bob.address):
        venue.timelock.schedule(*call, UPGRADE_DELAY, sender=venue.bob)
