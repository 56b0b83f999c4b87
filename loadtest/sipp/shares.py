"""Who gets which calls: every algorithm, on real sockets, by 1, 2 and 4 shards.

One siplane for each number of shards, with a set per algorithm and rules that find the set by the user's first letters, so that one sipp
drives all of them. The three run at once and get the same Call-IDs and keys: what a hash decides must be the same thrice.
"""

import collections

SHARDS = (1, 2, 4)
NAMES = "abc"  # the destinations, by their duids
CALLS_PER_SET = 150  # a whole number of rounds (3) and of sums of weights (6)
KEYS = 25
CALLS_PER_SECOND = 200
SHORT_MS, LONG_MS = 50, 3000
# Two degrees of freedom: exp(-27.6 / 2) is a millionth.
CHI_SQUARE_MAX = 27.6

PLAIN = ("", "", "")
WEIGHTS = ("weight = 1, rweight = 3", "weight = 2, rweight = 2", "weight = 3, rweight = 1")
PRIORITIES = ("priority = 1", "priority = 3", "priority = 2")
SRV = ("priority = 1, weight = 1", "priority = 1, weight = 2", "priority = 2, weight = 3")
HASHES = ("hash-from-uri", "hash-to-uri", "hash-request-uri", "hash-auth-user", "hash-header:X-Tenant", "legacy-hash-auth-user")
CALL_ID_HASHES = ("hash-call-id", "legacy-hash-call-id")

# Algorithm, what its destinations say, and its exact shares (of 6), if it promises any.
SETS = (
    ("round-robin", PLAIN, (2, 2, 2)),
    ("round-robin-or-priority", PLAIN, (2, 2, 2)),
    ("round-robin-or-priority", PRIORITIES, (0, 6, 0)),
    ("priority", PRIORITIES, (0, 6, 0)),
    ("weight", WEIGHTS, (1, 2, 3)),
    ("relative-weight", WEIGHTS, (3, 2, 1)),
    ("srv", SRV, (2, 4, 0)),
    ("random", PLAIN, None),
    ("call-load", PLAIN, None),
    ("call-load-two-choices", PLAIN, None),
    *((name, PLAIN, None) for name in (*HASHES, *CALL_ID_HASHES)),
)
# Most calls that one destination may have more than another at any time, as the caller sees it: for it a call begins with the 200 and
# ends with the answer to its BYE, so calls on their way count elsewhere. Every third call is long: dealt in turn they would be ten apart.
SPREAD_MAX = {"call-load": 3, "call-load-two-choices": 6}


def prefix(index):
    """How the users of set number `index` start."""
    return f"s{index:02}-"


def config(listen, shards, destinations):
    """A set per algorithm, a rule per set."""
    lines = [f'listen = ["udp:{listen}"]', f"shards = {shards}"]
    for index, (algorithm, columns, _) in enumerate(SETS):
        rows = [f'{{ uri = "sip:{uri}", duid = "{name}"' + (f", {column} }}" if column else " }")
                for uri, name, column in zip(destinations, NAMES, columns)]
        lines += ["", "[[set]]", f"id = {index + 1}", f'algorithm = "{algorithm}"', f'destinations = [{", ".join(rows)}]']
    for index in range(len(SETS)):
        lines += ["", "[[rule]]", f'user_prefix = "{prefix(index)}"', f"set = {index + 1}"]
    return "\n".join(lines) + "\n"


def calls_file(folder):
    """The calls, set by set in turn: user, key, hold time."""
    path = folder / "calls.csv"
    lines = ["SEQUENTIAL"]
    for number in range(CALLS_PER_SET):
        for index, (algorithm, _, _) in enumerate(SETS):
            hold = LONG_MS if algorithm in SPREAD_MAX and number % len(NAMES) == 0 else SHORT_MS
            lines.append(f"{prefix(index)};key{number % KEYS};{hold};")
    path.write_text("\n".join(lines) + "\n")
    return path


def read_log(path, names):
    """What the caller logged, for each set: (began or ended, key, Call-ID, destination's name) in order."""
    events = collections.defaultdict(list)
    for line in path.read_text(errors="replace").splitlines():
        fields = line.split(";")
        if len(fields) == 5:
            kind, user, key, call_id, address = fields
            events[user].append((kind, key, call_id, names[address]))
    return events


def chi_square(counts):
    """Against equal shares."""
    due = sum(counts) / len(counts)
    return sum((count - due) ** 2 / due for count in counts)


def widest_spread(events):
    """Most calls at once of the fullest destination beyond the emptiest."""
    open_calls, widest = dict.fromkeys(NAMES, 0), 0
    for kind, _, _, name in events:
        open_calls[name] += 1 if kind == "up" else -1
        widest = max(widest, max(open_calls.values()) - min(open_calls.values()))
    return widest


def judge(expect, where, index, events):
    """Checks one set of one siplane; who got which key."""
    algorithm, _, exact = SETS[index]
    begun = [event for event in events if event[0] == "up"]
    counts = [sum(event[3] == name for event in begun) for name in NAMES]
    told = f"{where}, {algorithm}: {'/'.join(map(str, counts))}"
    expect(sum(counts) == CALLS_PER_SET, f"{sum(counts)} of {CALLS_PER_SET} calls were answered: {told}")
    if exact:
        expect(counts == [CALLS_PER_SET * part // 6 for part in exact], f"not the exact shares {exact}: {told}")
    if algorithm == "random":
        expect(chi_square(counts) < CHI_SQUARE_MAX, f"chance would not do that in a million runs: {told}")
        again = sum(one[3] == next_one[3] for one, next_one in zip(begun, begun[1:]))
        expect(again > 0, f"nobody got two calls in a row, which is no chance: {told}")
    if algorithm in SPREAD_MAX:
        spread = widest_spread(events)
        expect(spread <= SPREAD_MAX[algorithm], f"{spread} calls at once more on one than on another: {told}")
        return counts, spread
    if algorithm in HASHES + CALL_ID_HASHES:
        owners = collections.defaultdict(set)
        for _, key, call_id, name in begun:
            owners[call_id if algorithm in CALL_ID_HASHES else key].add(name)
        split = [key for key, names in owners.items() if len(names) > 1]
        expect(not split, f"{split[:3]} went to more than one destination: {told}")
        expect(len(owners) == (CALLS_PER_SET if algorithm in CALL_ID_HASHES else KEYS), f"{len(owners)} keys: {told}")
        expect(all(counts), f"somebody got nothing: {told}")
        return counts, owners
    return counts, None


def shares(stand, expect):
    """Every algorithm by 1, 2 and 4 shards: what each destination gets is what the algorithm promises."""
    calls, lines = CALLS_PER_SET * len(SETS), calls_file(stand.folder)
    groups = []
    for number, shards in enumerate(SHARDS):
        hosts = [f"{stand.subnet}.{11 + 10 * number + at}" for at in range(len(NAMES))]
        callees = [stand.sipp("uas.xml", f"callee{shards}{name}", host, ["-p", stand.sip_port, "-d", 1000])
                   for host, name in zip(hosts, NAMES)]
        listen = f"{stand.subnet}.{4 + number}"
        stand.siplane(listen, config(f"{listen}:{stand.sip_port}", shards, [f"{host}:{stand.sip_port}" for host in hosts]))
        groups.append((shards, listen, callees, dict(zip(hosts, NAMES))))
    callers = [stand.sipp("uac-sets.xml", f"caller{shards}", f"{stand.subnet}.2", [
        f"{listen}:{stand.sip_port}", "-p", stand.next_port(1), "-t", "un", "-max_socket", 1000, "-m", calls, "-r", CALLS_PER_SECOND,
        "-l", calls, "-inf", lines, "-cid_str", "%u-shares@example.com", "-trace_logs", "-log_file", stand.folder / f"{shards}.log",
        "-timeout", 60]) for shards, listen, _, _ in groups]
    results = []
    for caller, (shards, _, callees, names) in zip(callers, groups):
        stand.finish(caller, callees, calls, CALLS_PER_SECOND, settle_s=3)
        expect(caller.figure("FailedCall(C)") == 0, f"{shards} shards: calls failed: {caller.first_error()}")
        events = read_log(stand.folder / f"{shards}.log", names)
        results.append([judge(expect, f"{shards} shards", index, events[prefix(index)]) for index in range(len(SETS))])
        got = [sum(result[0][at] for result in results[-1]) for at in range(len(NAMES))]
        expect(got == [callee.figure("IncomingCall(C)") for callee in callees], f"{shards} shards: callees count other than {got}")
    told = []
    for index, (algorithm, _, exact) in enumerate(SETS):
        one, *others = [result[index] for result in results]
        if algorithm in HASHES + CALL_ID_HASHES:
            expect(all(other == one for other in others), f"{algorithm}: another number of shards, another destination")
        text = "/".join(map(str, one[0])) if exact or isinstance(one[1], dict) else \
            " ".join("/".join(map(str, result[0])) for result in (one, *others))
        told.append(f"{algorithm}={text}" + (f"(spread {','.join(str(result[1]) for result in (one, *others))})"
                                             if algorithm in SPREAD_MAX else ""))
    return f"calls={calls}x{len(SHARDS)} " + " ".join(told)
