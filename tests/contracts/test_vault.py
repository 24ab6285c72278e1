"""The Vault: every way in, every way out, and who cannot take it."""

import pytest
from eth_account import Account
from venue import EXIT_DELAY, HOUR, NO_APPROVAL, UPGRADE_DELAY, Venue, only, reverts

from offchain.domain.eip712 import PURPOSE_BURN, PURPOSE_LOCK, Withdrawal, withdraw_hash
from offchain.domain.keccak import keccak


def requested(venue: Venue, amount: int = 700) -> None:
    """Alice has 1,000 units and asks for `amount` of them."""
    venue.give_units(venue.alice, 1_000)
    venue.vault.requestWithdrawal(venue.usdc, amount, venue.carol, sender=venue.alice)


# Deposits


def test_deposit(venue: Venue) -> None:
    alice, vault, before = venue.alice, venue.vault, venue.vault.sequence()
    venue.usdc.mint(alice, 1_000, sender=alice)
    venue.usdc.approve(vault, 1_000, sender=alice)
    logged = only(vault.deposit(400, sender=alice), vault.Deposited)
    assert logged == {
        "sequence": before + 1,
        "account": alice.address,
        "token": venue.usdc.address,
        "amount": 400,
        "balance": 400,
    }
    assert only(vault.deposit(600, sender=alice), vault.Deposited)["balance"] == 1_000
    assert vault.sequence() == before + 2
    assert venue.usdc.balanceOf(vault) == venue.units(alice) == vault.debitable(alice, venue.usdc) == 1_000
    venue.assert_conserved()


def test_deposit_for_another(venue: Venue) -> None:
    bob = venue.bob
    venue.usdc.mint(bob, 50, sender=bob)
    venue.usdc.approve(venue.vault, 50, sender=bob)
    logged = only(venue.vault.depositFor(venue.alice, 50, sender=bob), venue.vault.Deposited)
    assert logged["account"] == venue.alice.address
    assert (venue.units(venue.alice), venue.units(bob), venue.usdc.balanceOf(bob)) == (50, 0, 0)


def test_deposit_with_permit(venue: Venue) -> None:
    alice, deadline = venue.alice, venue.now + HOUR
    venue.usdc.mint(alice, 70, sender=alice)
    v, r, s = venue.permit(alice, 70, deadline)
    receipt = venue.vault.depositWithPermit(alice, 70, deadline, v, r, s, sender=venue.relay)
    assert only(receipt, venue.vault.Deposited)["balance"] == 70
    assert venue.usdc.allowance(alice, venue.vault) == 0


def test_a_permit_that_was_front_run_does_not_matter(venue: Venue) -> None:
    alice, deadline = venue.alice, venue.now + HOUR
    venue.usdc.mint(alice, 70, sender=alice)
    v, r, s = venue.permit(alice, 70, deadline)
    venue.usdc.permit(alice, venue.vault, 70, deadline, v, r, s, sender=venue.bob)
    venue.vault.depositWithPermit(alice, 70, deadline, v, r, s, sender=venue.relay)
    assert venue.units(alice) == 70


def test_a_deposit_needs_an_amount_and_an_allowance(venue: Venue) -> None:
    with reverts("ZeroAmount"):
        venue.vault.deposit(0, sender=venue.alice)
    with reverts("ZeroAddress"):
        venue.vault.depositFor("0x" + "00" * 20, 1, sender=venue.alice)
    with reverts("ERC20InsufficientAllowance", needed=5):
        venue.vault.deposit(5, sender=venue.alice)


def test_a_synth_leaves_and_comes_back(venue: Venue) -> None:
    alice, vault = venue.alice, venue.vault
    venue.give_lots(alice, 3)
    withdrawal = venue.withdrawal(alice, 1, token=venue.btc.address)
    vault.withdrawApproved(tuple(withdrawal.values()), b"", venue.approve_withdrawal(withdrawal), sender=alice)
    venue.btc.approve(vault, 1, sender=alice)
    logged = only(vault.depositSynth(venue.btc, 1, sender=alice), vault.Deposited)
    assert (logged["token"], logged["amount"]) == (venue.btc.address, 1)
    assert venue.lots(alice) == 3
    venue.assert_conserved()
    with reverts("UnknownToken", token=venue.usdc.address):
        vault.depositSynth(venue.usdc, 1, sender=alice)


# Requests


def test_request_and_complete(venue: Venue) -> None:
    vault, before = venue.vault, venue.vault.sequence()
    requested(venue)
    matures = venue.now + EXIT_DELAY
    assert vault.debitable(venue.alice, venue.usdc) == 1_000
    request = vault.requestOf(venue.alice, venue.usdc)
    assert (request.amount, request.maturesAt, request.destination) == (700, matures, venue.carol.address)
    with reverts("RequestPending"):
        vault.requestWithdrawal(venue.usdc, 1, venue.alice, sender=venue.alice)

    venue.next_at(matures - 1)
    with reverts("RequestNotMatured", maturesAt=matures):
        vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob)
    venue.mine_at(matures)
    assert vault.debitable(venue.alice, venue.usdc) == 300
    logged = only(vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob), vault.Withdrawn)
    assert logged == {
        "sequence": before + 3,
        "account": venue.alice.address,
        "token": venue.usdc.address,
        "amount": 700,
        "balance": 300,
        "destination": venue.carol.address,
        "asCxpt": False,
        "approval": 0,
        "requestRemaining": 0,
    }
    assert venue.usdc.balanceOf(venue.carol) == 700
    with reverts("NoRequest"):
        vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob)
    venue.assert_conserved()


def test_the_log_of_a_request(venue: Venue) -> None:
    venue.give_units(venue.alice, 10)
    receipt = venue.vault.requestWithdrawal(venue.usdc, 10, venue.carol, sender=venue.alice)
    assert only(receipt, venue.vault.WithdrawalRequested) == {
        "sequence": venue.vault.sequence(),
        "account": venue.alice.address,
        "token": venue.usdc.address,
        "amount": 10,
        "destination": venue.carol.address,
        "maturesAt": receipt.timestamp + EXIT_DELAY,
    }


def test_a_request_makes_sense(venue: Venue) -> None:
    request = venue.vault.requestWithdrawal
    with reverts("ZeroAmount"):
        request(venue.usdc, 0, venue.alice, sender=venue.alice)
    with reverts("ZeroAddress"):
        request(venue.usdc, 1, "0x" + "00" * 20, sender=venue.alice)
    with reverts("UnknownToken", token=venue.cxpt.address):
        request(venue.cxpt, 1, venue.alice, sender=venue.alice)


def test_a_request_beyond_the_balance_pays_what_is_there_and_stays(venue: Venue) -> None:
    requested(venue, 5_000)
    venue.next_at(venue.now + EXIT_DELAY)
    logged = only(venue.vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob), venue.vault.Withdrawn)
    assert (logged["amount"], logged["balance"], logged["requestRemaining"]) == (1_000, 0, 4_000)
    venue.give_units(venue.alice, 4_500)
    logged = only(venue.vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob), venue.vault.Withdrawn)
    assert (logged["amount"], logged["balance"], logged["requestRemaining"]) == (4_000, 500, 0)


def test_a_request_to_the_vault_itself_pays_nobody(venue: Venue) -> None:
    vault = venue.vault
    venue.give_units(venue.alice, 1_000)
    vault.requestWithdrawal(venue.usdc, 700, vault, sender=venue.alice)
    venue.mine_at(venue.now + EXIT_DELAY)
    with reverts("InternalDestination"):
        vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob)
    with reverts("InternalDestination"):
        vault.withdraw(1, False, sender=venue.alice)
    locked = only(vault.lockCollateral(venue.alice, 600, NO_APPROVAL, sender=venue.admin), vault.CollateralLocked)
    assert (locked["balance"], locked["requestRemaining"]) == (400, 100)


def test_cancel_a_request(venue: Venue) -> None:
    vault = venue.vault
    with reverts("NoRequest"):
        vault.cancelWithdrawalRequest(venue.usdc, sender=venue.alice)
    requested(venue)
    receipt = vault.cancelWithdrawalRequest(venue.usdc, sender=venue.alice)
    assert only(receipt, vault.WithdrawalRequestCancelled)["sequence"] == vault.sequence()
    venue.mine_at(venue.now + EXIT_DELAY)
    assert vault.debitable(venue.alice, venue.usdc) == 1_000


def test_withdraw_draws_on_the_matured_request(venue: Venue) -> None:
    vault = venue.vault
    requested(venue)
    venue.mine_at(venue.now + EXIT_DELAY)
    logged = only(vault.withdraw(200, False, sender=venue.alice), vault.Withdrawn)
    assert (logged["balance"], logged["requestRemaining"], logged["destination"]) == (800, 500, venue.carol.address)
    with reverts("RequestExceeded", wanted=501, requested=500):
        vault.withdraw(501, False, sender=venue.alice)
    vault.withdraw(500, False, sender=venue.alice)
    assert venue.usdc.balanceOf(venue.carol) == 700
    with reverts("NoRequest"):
        vault.withdraw(1, False, sender=venue.alice)


def test_withdraw_as_cxpt(venue: Venue) -> None:
    requested(venue)
    venue.next_at(venue.now + EXIT_DELAY)
    logged = only(venue.vault.withdraw(700, True, sender=venue.alice), venue.vault.Withdrawn)
    assert logged["asCxpt"]
    assert venue.cxpt.balanceOf(venue.carol) == 700 * 10**12
    assert (venue.units(venue.alice), venue.units(venue.treasury)) == (300, 700)
    assert venue.vault.totalsOf(venue.usdc).withdrawals == 0
    venue.assert_conserved()


# Countersigned withdrawals


def test_withdraw_approved_by_a_relay(venue: Venue) -> None:
    vault, before = venue.vault, venue.vault.sequence()
    venue.give_units(venue.alice, 1_000)
    withdrawal = venue.withdrawal(venue.alice, 600, destination=venue.carol.address)
    signature, approval = venue.sign_withdrawal(withdrawal, venue.alice), venue.approve_withdrawal(withdrawal)
    receipt = vault.withdrawApproved(tuple(withdrawal.values()), signature, approval, sender=venue.relay)
    logged = only(receipt, vault.Withdrawn)
    assert (logged["sequence"], logged["amount"], logged["balance"]) == (before + 2, 600, 400)
    assert (logged["approval"], logged["requestRemaining"]) == (approval[0], 0)
    assert venue.usdc.balanceOf(venue.carol) == 600
    with reverts("NonceUsed", nonce=1):
        vault.withdrawApproved(tuple(withdrawal.values()), signature, approval, sender=venue.relay)
    again = withdrawal | {"nonce": 2}
    with reverts("InvalidSigner"):
        vault.withdrawApproved(
            tuple(again.values()), venue.sign_withdrawal(again, venue.alice), approval, sender=venue.relay
        )
    venue.assert_conserved()


def test_withdraw_approved_as_cxpt(venue: Venue) -> None:
    venue.give_units(venue.alice, 1_000)
    withdrawal = venue.withdrawal(venue.alice, 250, asCxpt=True)
    approval = venue.approve_withdrawal(withdrawal)
    venue.vault.withdrawApproved(tuple(withdrawal.values()), b"", approval, sender=venue.alice)
    assert venue.cxpt.balanceOf(venue.alice) == 250 * 10**12
    assert (venue.units(venue.alice), venue.units(venue.treasury)) == (750, 250)

    venue.give_lots(venue.alice, 1)
    synth = venue.withdrawal(venue.alice, 1, token=venue.btc.address, asCxpt=True, nonce=2)
    with reverts("NotConvertible", token=venue.btc.address):
        venue.vault.withdrawApproved(tuple(synth.values()), b"", venue.approve_withdrawal(synth), sender=venue.alice)


def test_withdraw_approved_needs_both_signatures(venue: Venue) -> None:
    vault = venue.vault
    venue.give_units(venue.alice, 1_000)
    withdrawal = venue.withdrawal(venue.alice, 600)
    fields, approval = tuple(withdrawal.values()), venue.approve_withdrawal(withdrawal)
    signature = venue.sign_withdrawal(withdrawal, venue.alice)

    with reverts("InvalidSigner", recovered=venue.bob.address):
        vault.withdrawApproved(fields, venue.sign_withdrawal(withdrawal, venue.bob), approval, sender=venue.relay)
    with reverts("InvalidSigner"):
        vault.withdrawApproved(fields, b"", approval, sender=venue.relay)
    with reverts("InvalidSigner", recovered=venue.alice.address):
        own = venue.approve_withdrawal(withdrawal, signer=venue.alice)
        vault.withdrawApproved(fields, signature, own, sender=venue.alice)
    elsewhere = Withdrawal(*(withdrawal | {"destination": venue.bob.address}).values())
    for purpose in (PURPOSE_LOCK, PURPOSE_BURN, withdraw_hash(elsewhere)):
        other = venue.approve(venue.alice, venue.usdc, 600, purpose)
        with reverts("InvalidSigner"):
            vault.withdrawApproved(fields, signature, other, sender=venue.relay)
    with reverts("InvalidSigner"):
        vault.withdrawApproved(fields, signature, NO_APPROVAL, sender=venue.relay)
    with reverts("NonceUsed", nonce=0):
        zero = venue.approve_withdrawal(withdrawal, nonce=0)
        vault.withdrawApproved(fields, signature, zero, sender=venue.relay)
    vault.withdrawApproved(fields, signature, approval, sender=venue.relay)


def test_withdraw_approved_has_two_deadlines(venue: Venue) -> None:
    venue.give_units(venue.alice, 1_000)
    late = venue.now + 2 * HOUR
    for owner, operator in ((HOUR, 3 * HOUR), (3 * HOUR, HOUR)):
        withdrawal = venue.withdrawal(venue.alice, 600, deadline=venue.now + owner)
        approval = venue.approve_withdrawal(withdrawal, deadline=venue.now + operator)
        with venue.chain.isolate():
            venue.next_at(late)
            with reverts("DeadlinePassed", deadline=late - HOUR):
                venue.vault.withdrawApproved(tuple(withdrawal.values()), b"", approval, sender=venue.alice)


def test_withdraw_approved_leaves_a_matured_request_alone(venue: Venue) -> None:
    requested(venue)
    venue.mine_at(venue.now + EXIT_DELAY)
    withdrawal = venue.withdrawal(venue.alice, 301)
    with reverts("InsufficientBalance", wanted=301, debitable=300):
        venue.vault.withdrawApproved(
            tuple(withdrawal.values()), b"", venue.approve_withdrawal(withdrawal), sender=venue.alice
        )


def test_instant_withdrawals_have_an_hourly_cap_and_requests_none(venue: Venue) -> None:
    vault = venue.vault
    receipt = vault.setOutflowCap(venue.usdc, 600, sender=venue.admin)
    assert only(receipt, vault.OutflowCapSet) == {"token": venue.usdc.address, "perHour": 600}
    requested(venue, 700)
    venue.give_units(venue.alice, 1_000)
    withdrawal = venue.withdrawal(venue.alice, 600)
    vault.withdrawApproved(tuple(withdrawal.values()), b"", venue.approve_withdrawal(withdrawal), sender=venue.alice)
    venue.next_at(venue.now + EXIT_DELAY)
    vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob)
    withdrawal = venue.withdrawal(venue.alice, 600, nonce=2)
    approval = venue.approve_withdrawal(withdrawal)
    with reverts("OutflowCapped", wanted=600):
        vault.withdrawApproved(tuple(withdrawal.values()), b"", approval, sender=venue.alice)
    venue.next_at(venue.now + HOUR - 60)
    vault.withdrawApproved(tuple(withdrawal.values()), b"", approval, sender=venue.alice)
    assert venue.usdc.balanceOf(venue.alice) == 1_200
    with reverts("AccessControlUnauthorizedAccount", account=venue.bob.address):
        vault.setOutflowCap(venue.usdc, 0, sender=venue.bob)


# The unit index


def test_no_loss_without_a_shortfall(venue: Venue) -> None:
    venue.give_units(venue.alice, 600)
    with reverts("NoShortfall"):
        venue.vault.declareLoss(sender=venue.carol)
    assert venue.vault.index() == 10**18


# The core


def test_the_core_mints_and_burns(venue: Venue) -> None:
    vault, admin = venue.vault, venue.admin
    minted = only(vault.mintSynth(venue.btc, venue.alice, 100, sender=admin), vault.SynthMinted)
    assert (minted["sequence"], minted["amount"], minted["balance"]) == (vault.sequence(), 100, 100)
    assert venue.btc.totalSupply() == venue.btc.balanceOf(vault) == 100
    approval = venue.approve(venue.alice, venue.btc, 40, PURPOSE_BURN)
    burned = only(vault.burnSynth(venue.btc, venue.alice, 40, approval, sender=admin), vault.SynthBurned)
    assert (burned["sequence"], burned["balance"], burned["approval"]) == (vault.sequence(), 60, approval[0])
    assert venue.btc.totalSupply() == 60
    with reverts("NoRequest"):
        vault.burnSynth(venue.btc, venue.alice, 1, NO_APPROVAL, sender=admin)
    with reverts("UnknownToken", token=venue.cxpt.address):
        vault.mintSynth(venue.cxpt, venue.alice, 1, sender=admin)


def test_the_core_locks_and_unlocks(venue: Venue) -> None:
    vault, admin = venue.vault, venue.admin
    venue.give_units(venue.alice, 1_000)
    approval = venue.approve(venue.alice, venue.usdc, 900, PURPOSE_LOCK)
    locked = only(vault.lockCollateral(venue.alice, 900, approval, sender=admin), vault.CollateralLocked)
    assert (locked["sequence"], locked["balance"], locked["approval"]) == (vault.sequence(), 100, approval[0])
    assert vault.totalsOf(venue.usdc).locked == 900
    venue.assert_conserved()
    unlocked = only(vault.unlockCollateral(venue.alice, 900, sender=admin), vault.CollateralUnlocked)
    assert (unlocked["sequence"], unlocked["balance"]) == (vault.sequence(), 1_000)
    with reverts("NonceUsed", nonce=approval[0]):
        vault.lockCollateral(venue.alice, 900, approval, sender=admin)


def test_register_a_synth(venue: Venue) -> None:
    vault, admin = venue.vault, venue.admin
    synth = venue.create_synth("Second", "hTWO")
    logged = only(vault.registerSynth(synth, sender=admin), vault.SynthRegistered)
    assert logged == {"sequence": vault.sequence(), "token": synth.address}
    assert vault.isSynth(synth)
    foreign = venue.create("SynthERC20", venue.bob)
    for token in (synth, venue.usdc, foreign):
        with reverts("NotRegistrable", token=token.address):
            vault.registerSynth(token, sender=admin)


@pytest.mark.parametrize(
    ("function", "role"),
    [
        ("registerSynth", "REGISTRAR_ROLE"),
        ("mintSynth", "CORE_ROLE"),
        ("burnSynth", "CORE_ROLE"),
        ("lockCollateral", "CORE_ROLE"),
        ("unlockCollateral", "CORE_ROLE"),
        ("takeSequence", "SETTLEMENT_ROLE"),
        ("raiseCancelFloor", "SETTLEMENT_ROLE"),
        ("applySettlement", "SETTLEMENT_ROLE"),
        ("upgradeToAndCall", "UPGRADER_ROLE"),
    ],
)
def test_only_a_role_may(venue: Venue, function: str, role: str) -> None:
    bob, usdc, btc = venue.bob, venue.usdc, venue.btc
    arguments = {
        "registerSynth": (btc,),
        "mintSynth": (btc, bob, 1),
        "burnSynth": (btc, bob, 1, NO_APPROVAL),
        "lockCollateral": (bob, 1, NO_APPROVAL),
        "unlockCollateral": (bob, 1),
        "takeSequence": (),
        "raiseCancelFloor": (bob, 1, 1),
        "applySettlement": (usdc, [bob], [0]),
        "upgradeToAndCall": (venue.implementation, b""),
    }[function]
    with reverts("AccessControlUnauthorizedAccount", account=bob.address, neededRole=keccak(role.encode())):
        getattr(venue.vault, function)(*arguments, sender=bob)


# Code


def test_nobody_initializes_again(venue: Venue) -> None:
    everyone = [venue.bob] * 7
    for contract in (venue.vault, venue.implementation):
        with reverts("InvalidInitialization"):
            contract.initialize(*everyone, 0, sender=venue.bob)


def test_an_upgrade_takes_the_timelock_a_day(venue: Venue) -> None:
    vault, timelock, admin = venue.vault, venue.timelock, venue.admin
    requested(venue)
    new = venue.create("Vault")
    call = (vault, 0, vault.upgradeToAndCall.encode_input(new, b""), bytes(32), bytes(32))
    timelock.schedule(*call, UPGRADE_DELAY, sender=admin)
    ready = venue.now + UPGRADE_DELAY
    # Whoever asks to leave when it is announced is out by then.
    venue.next_at(venue.now + EXIT_DELAY)
    vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob)
    venue.next_at(ready - 1)
    with reverts("TimelockUnexpectedOperationState"):
        timelock.execute(*call, sender=admin)
    venue.next_at(ready)
    timelock.execute(*call, sender=admin)
    slot = int.from_bytes(keccak(b"eip1967.proxy.implementation"), "big") - 1
    stored = venue.chain.provider.get_storage(vault.address, slot)
    assert bytes(stored)[-20:].hex() == new.address[2:].lower()
    assert venue.units(venue.alice) == 300


def test_no_key_holds_the_upgrades(venue: Venue) -> None:
    role = keccak(b"UPGRADER_ROLE")
    for upgrader in (venue.admin, venue.usdc):
        with reverts("UpgradeDelayTooShort", upgrader=upgrader.address):
            venue.vault.grantRole(role, upgrader, sender=venue.admin)


def test_the_timelock_has_a_floor_of_its_own(venue: Venue) -> None:
    hasty = venue.create("Timelock", 1, [], [], "0x" + "00" * 20)
    assert hasty.getMinDelay() == UPGRADE_DELAY


def test_one_look_for_reconciliation(venue: Venue) -> None:
    venue.give_units(venue.alice, 11)
    venue.give_lots(venue.bob, 2)
    block, sequence, totals, balances = venue.vault.reconcile([venue.alice, venue.bob], [venue.usdc, venue.btc])
    assert (block, sequence) == (venue.chain.blocks.head.number, venue.vault.sequence())
    assert [list(row) for row in balances] == [[11, 0], [0, venue.vault.balanceOf(venue.bob, venue.btc)]]
    assert tuple(totals[0]) == (11, 0, 0, 0, 0, 11)


def test_the_domain_is_the_one_that_is_published(venue: Venue) -> None:
    for contract in (venue.vault, venue.settlement, venue.commitment):
        assert bytes(contract.domainSeparator()) == venue.separator(contract)
    assert Account.from_key(venue.cosigner.private_key).address == venue.vault.cosigner()


# The guardian


def test_a_pause_stops_deposits_and_no_way_out(venue: Venue) -> None:
    vault, alice, admin = venue.vault, venue.alice, venue.admin
    venue.give_units(alice, 1_000)
    vault.requestWithdrawal(venue.usdc, 400, alice, sender=alice)
    venue.mine_at(venue.now + EXIT_DELAY)
    receipt = vault.pause(sender=admin)
    until = receipt.timestamp + 24 * HOUR
    venue.usdc.mint(alice, 10, sender=admin)
    venue.usdc.approve(vault, 10, sender=alice)
    with reverts("IsPaused", until=until):
        vault.deposit(10, sender=alice)
    with reverts("IsPaused", until=until):
        vault.depositFor(venue.bob, 10, sender=alice)

    vault.completeWithdrawal(alice, venue.usdc, sender=venue.bob)
    withdrawal = venue.withdrawal(alice, 600)
    approval = venue.approve_withdrawal(withdrawal)
    vault.withdrawApproved(tuple(withdrawal.values()), b"", approval, sender=alice)
    assert venue.usdc.balanceOf(alice) == 1_010

    vault.unpause(sender=admin)
    vault.deposit(10, sender=alice)
    assert venue.units(alice) == 10
    with reverts("PauseTooSoon"):
        vault.pause(sender=admin)
