#!/usr/bin/env python3
"""Real calls by sipp through siplane, on 127.0.0.0/8.

    run.py --binary target/release/siplane all
    run.py --binary target/release/siplane loss cancel
    run.py --list

Each experiment has its own address range, ports and temporary folder, so several run at once. It prints one line with its figures; the
last line counts them. Every process is stopped by its own id, every wait has a bound. Needs: python 3, sipp (Debian: sip-tester), sipsak.
"""

import argparse
import concurrent.futures
import functools
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

from shares import shares
from stand import SETTLE_S, STARTED, Failed, Stand, expect

ANSWER_TIMEOUT_MS = 800  # of the experiments where a destination falls silent
LOST_PERCENT = 10


def figures(caller, callees):
    """The line every experiment reports."""
    share = "/".join(str(callee.figure("IncomingCall(C)")) for callee in callees)
    times = sorted(caller.setup_ms()) or [0.0]
    return (f"calls={caller.figure('TotalCallCreated')} failed={caller.figure('FailedCall(C)')} "
            f"retransmissions={caller.retransmissions()}+{sum(callee.retransmissions() for callee in callees)} "
            f"unexpected={caller.unexpected()}+{sum(callee.unexpected() for callee in callees)} share={share} "
            f"setup_ms(p50/p99/max)={times[len(times) // 2]:.0f}/{times[len(times) * 99 // 100]:.0f}/{times[-1]:.0f}")


def run_calls(stand, scenario, scenarios, calls, rate, callee_options=(), caller_options=(), hold_ms=50, ports="one",
              settle_s=SETTLE_S, **proxy):
    """The usual course: callees, proxy, callers, end. Returns the caller, the callees and the figures."""
    callees = stand.callees(scenarios, callee_options)
    stand.proxy(len(scenarios), **proxy)
    caller = stand.caller(scenario, calls, rate, hold_ms, ports, caller_options)
    stand.finish(caller, callees, calls, rate, settle_s)
    return caller, callees, figures(caller, callees)


def expect_clean(caller, callees, text):
    """No failed call, nothing sent twice, nothing unexpected."""
    everyone = [caller, *callees]
    expect(caller.figure("FailedCall(C)") == 0, f"calls failed: {text}; {caller.first_error()}")
    expect(sum(one.retransmissions() for one in everyone) == 0, f"messages were sent again without loss: {text}")
    wrong = next((one for one in everyone if one.unexpected()), None)
    expect(wrong is None, f"unexpected messages: {text}; {wrong and wrong.first_error()}")


def basic(stand, shards, ports):
    """50 calls/s for 20 s, round robin over three: every call completes, nothing is sent twice, the shares are exact."""
    calls, rate = 1000, 50
    caller, callees, text = run_calls(stand, "uac.xml", ["uas.xml"] * 3, calls, rate, ports=ports, shards=shards)
    expect_clean(caller, callees, text)
    shares = [callee.figure("IncomingCall(C)") for callee in callees]
    acks = sum(callee.messages("_ACK_Recv") for callee in callees)
    expect(sum(shares) == calls and acks == calls, f"{sum(shares)} INVITEs and {acks} ACKs arrived for {calls} calls: {text}")
    # Round robin is exact over all shards: a whole number of rounds, and one call.
    expect(all(abs(share - calls / 3) <= 1 for share in shares), f"the shares are not a third each: {text}")
    return text


def weights(stand):
    """Weights 1:2:3 over 600 calls."""
    calls, rate, parts = 600, 50, (1, 2, 3)
    caller, callees, text = run_calls(stand, "uac.xml", ["uas.xml"] * 3, calls, rate, algorithm="weight", weights=parts)
    expect_clean(caller, callees, text)
    for part, callee in zip(parts, callees):
        # Exact over any sum-of-weights calls.
        due = calls * part // sum(parts)
        expect(callee.figure("IncomingCall(C)") == due, f"{callee.name} should have {due} calls: {text}")
    return text


def loss(stand):
    """Caller and callees each lose 10 % of what they send and of what reaches them: every call completes by retransmission.

    An INVITE is sent seven times in 64*T1, and a try and its answer get through four times in five: of 1,000 calls one is lost seven
    times in a row in about one run of a hundred. No proxy can help that, so such a run is made once more.
    """
    calls, rate = 1000, 50
    lossy = ["-lost", LOST_PERCENT, "-default_behaviors", "all,-abortunexp", "-max_invite_retrans", 7]
    # Callees stay for as long as a BYE may be sent again (the last -d wins), which is longer than anybody waits for them.
    caller, callees, text = run_calls(stand, "uac.xml", ["uas.xml"] * 3, calls, rate, [*lossy, "-d", 32000], lossy, hold_ms=2000,
                                      settle_s=2)
    expect(caller.retransmissions() > 0, f"nothing was sent again, so nothing was lost: {text}")
    if caller.figure("SuccessfulCall(C)") == calls - 1 and is_first_run(stand):
        return loss(stand) + " (second run)"
    expect(caller.figure("SuccessfulCall(C)") == calls, f"calls failed: {text}; {caller.first_error()}")
    return text


def is_first_run(stand):
    """Whether an experiment that had bad luck may be made once more; the stand is then as it was."""
    if getattr(stand, "unlucky", False):
        return False
    stand.unlucky = True
    stand.__exit__()
    stand.folder.mkdir(exist_ok=True)
    return True


def destination_dies(stand, signal_number):
    """Half-way one of three is killed (its port answers with ICMP) or stopped (silence): every INVITE is still answered 200.

    But for one that was caught between 180 and 200: it rings until Timer C, whatever a proxy does. Such a run is made once more.
    """
    calls, rate = 500, 50
    callees = stand.callees(["uas.xml"] * 3)
    stand.proxy(3, set_keys=f"answer_timeout_ms = {ANSWER_TIMEOUT_MS}\n")
    caller = stand.caller("uac.xml", calls, rate, hold_ms=0)
    time.sleep(calls / rate / 2)
    callees[2].send_signal(signal_number)
    code = stand.finish(caller, callees[:2], calls, rate)
    text, setup = figures(caller, callees), caller.setup_ms()
    if len(setup) == calls - 1 and is_first_run(stand):
        return destination_dies(stand, signal_number) + " (second run)"
    # A call set up on the dying one cannot say goodbye; with no hold time there is at most the one caught between 200 and BYE.
    expect(len(setup) == calls, f"{calls - len(setup)} INVITEs got no 200 (sipp ended with {code}): {text}; {caller.first_error()}")
    expect(caller.figure("FailedCall(C)") <= 2, f"more calls broke than can have been in their BYE: {text}; {caller.first_error()}")
    if signal_number == signal.SIGKILL:
        bound = ANSWER_TIMEOUT_MS // 2
        expect(max(setup) < bound, f"the ICMP error did not bring the next destination within {bound} ms: {text}")
    else:
        bound = ANSWER_TIMEOUT_MS * 3 // 2
        expect(max(setup) < bound, f"silence did not bring the next destination within {bound} ms: {text}")
        expect(max(setup) >= ANSWER_TIMEOUT_MS * 3 // 4, f"no call waited for the silent one, so this showed nothing: {text}")
    expect(callees[2].figure("IncomingCall(C)") > 0, f"the one that died never had a call: {text}")
    median = sorted(setup)[len(setup) // 2]
    return f"{text} time_to_next_destination_ms={max(setup) - median}"


def cancel(stand):
    """100 callers give up while it rings: 200 to CANCEL, 487 to INVITE."""
    caller, callees, text = run_calls(stand, "uac-cancel.xml", ["uas-ring.xml"] * 3, 100, 25)
    expect_clean(caller, callees, text)
    cancelled = sum(callee.messages("_CANCEL_Recv") for callee in callees)
    expect(cancelled == 100, f"{cancelled} of 100 CANCELs reached a callee: {text}")
    return text


def busy(stand):
    """486 goes back to the caller and no other destination is tried."""
    caller, callees, text = run_calls(stand, "uac-reject.xml", ["uas-486.xml"] * 3, 100, 25)
    expect_clean(caller, callees, text)
    invites = sum(callee.figure("IncomingCall(C)") for callee in callees)
    expect(invites == 100, f"{invites} INVITEs for 100 calls: a busy callee is not a failed destination: {text}")
    return text


def failover_503(stand):
    """One of three always answers 503: every call completes on another."""
    caller, callees, text = run_calls(stand, "uac.xml", ["uas.xml", "uas-503.xml", "uas.xml"], 300, 50)
    expect_clean(caller, callees, text)
    taken = callees[0].figure("IncomingCall(C)") + callees[2].figure("IncomingCall(C)")
    expect(taken == 300, f"{taken} of 300 calls ended on the two that take calls: {text}")
    expect(callees[1].figure("IncomingCall(C)") > 0, f"the refusing one was never asked, so this showed nothing: {text}")
    return text


def options(stand):
    """sipsak's OPTIONS to the proxy itself is answered 200 (RFC 3261 §11)."""
    stand.sip_port = 5060  # sipsak 0.9.8 cuts a five-digit port to four digits
    stand.proxy(1)
    answer = subprocess.run(["sipsak", "-vv", "-s", f"sip:{stand.subnet}.1:{stand.sip_port}"], stdin=subprocess.DEVNULL, timeout=20,
                            capture_output=True, text=True, errors="replace")
    status = [line.strip() for line in answer.stdout.splitlines() if line.startswith("SIP/2.0 ")]
    expect(answer.returncode == 0 and status and " 200 " in status[-1] + " ", f"sipsak ended with {answer.returncode}: {status} "
           f"{answer.stderr[-200:].strip()}")
    return status[-1]


EXPERIMENTS = {
    **{f"basic-{shards}-shard{'s' if shards > 1 else ''}-{ports}-port{'s' if ports == 'many' else ''}":
       functools.partial(basic, shards=shards, ports=ports) for shards in (1, 2, 4) for ports in ("one", "many")},
    "loss": loss,
    "weights": weights,
    "destination-killed": functools.partial(destination_dies, signal_number=signal.SIGKILL),
    "destination-silent": functools.partial(destination_dies, signal_number=signal.SIGSTOP),
    "cancel": cancel,
    "busy": busy,
    "failover-503": failover_503,
    "options": options,
    "shares": functools.partial(shares, expect=expect),
}


def run_one(binary, name, keep):
    """One experiment: whether it held, and its line."""
    with Stand(binary, list(EXPERIMENTS).index(name), keep) as stand:
        began = time.monotonic()
        where = f" (files in {stand.folder})" if keep else ""
        try:
            text = EXPERIMENTS[name](stand)
            return True, f"{name}: ok {text} took_s={time.monotonic() - began:.1f}{where}"
        except (Failed, OSError, subprocess.SubprocessError) as why:
            return False, f"{name}: FAILED {why}{where}"


def interrupted(number, _frame):
    """Ends everything this run has started, and the run."""
    for program in STARTED:
        if program.process.poll() is None:
            os.killpg(program.process.pid, signal.SIGKILL)  # it leads a group of its own, so what it has started goes too
    os._exit(128 + number)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, help="the siplane to try")
    parser.add_argument("--at-once", type=int, default=6, help="how many experiments run at the same time (default 6)")
    parser.add_argument("--keep", action="store_true", help="leave each experiment's folder (logs, statistics) in place")
    parser.add_argument("--list", action="store_true", help="print the experiments and stop")
    parser.add_argument("names", nargs="*", metavar="NAME", help="experiments, or `all`")
    args = parser.parse_args()
    if args.list:
        print("\n".join(EXPERIMENTS))
        return 0
    names = list(EXPERIMENTS) if args.names == ["all"] else args.names
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown or not names or not args.binary:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "needs --binary PATH and NAME... or `all`")
    binary = args.binary.resolve()
    missing = [tool for tool in ("sipp", "sipsak") if not shutil.which(tool)]
    if missing or not os.access(binary, os.X_OK):
        parser.error(f"not installed: {', '.join(missing)}" if missing else f"{binary} is not a program")
    signal.signal(signal.SIGINT, interrupted)
    signal.signal(signal.SIGTERM, interrupted)
    with concurrent.futures.ThreadPoolExecutor(args.at_once) as pool:
        running = [pool.submit(run_one, binary, name, args.keep) for name in names]
        passed = 0
        for done in concurrent.futures.as_completed(running):
            held, line = done.result()
            passed += held
            print(line, flush=True)
    print(f"{passed} passed, {len(names) - passed} failed")
    return 0 if passed == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
