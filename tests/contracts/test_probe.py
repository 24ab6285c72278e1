import ape, time
from venue import *
def test_probe(venue):
    t0=venue.now
    venue.next_at(t0+500)
    r=venue.usdc.mint(venue.alice, 5, sender=venue.alice)
    print("AT", r.timestamp-t0, venue.now-t0)
    venue.mine_at(t0+1000)
    print("MINED", venue.now-t0)
    r=venue.usdc.mint(venue.alice, 5, sender=venue.alice)
    print("AFTER", r.timestamp-t0)
    for f in (lambda: venue.vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob),
              lambda: venue.issuer.open(venue.btc, 5, 0, NO_APPROVAL, sender=venue.alice),
              lambda: venue.settlement.settle((1,[],[],[]), sender=venue.alice),
              lambda: venue.settlement.settle((1,[],[],[]), sender=venue.settler),
              lambda: venue.vault.deposit(50, sender=venue.alice)):
        try: f()
        except Exception as e: print("ERR", type(e), repr(e), type(e).__mro__[:3])
    with ape.reverts(venue.issuer.NoRequest):
        venue.issuer.open(venue.btc, 5, 0, NO_APPROVAL, sender=venue.alice)
    try:
        with ape.reverts(venue.issuer.StalePrice):
            venue.issuer.open(venue.btc, 5, 0, NO_APPROVAL, sender=venue.alice)
    except AssertionError as e: print("GOOD", e)
    try:
      with ape.reverts(venue.vault.RequestPending):
        venue.vault.completeWithdrawal(venue.alice, venue.usdc, sender=venue.bob)
    except AssertionError as e: print("GOOD", e)
    venue.give_units(venue.alice, 100)
    t=time.time()
    for _ in range(20): venue.usdc.mint(venue.alice, 5, sender=venue.alice)
    print("TX ms", (time.time()-t)*50)
