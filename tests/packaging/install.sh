# Installs the package $1 into a copy of this machine that is gone at the end (an overlay over /, in namespaces of its own), runs what it
# has installed there as the user that it has made, and removes it again. Says what holds, a line each; ends with the first that does not.
set -eu
DEB=$1
LAYERS=$(mktemp -d)
# The mounts end with the namespace; what is left is an empty folder.
trap 'cd / && umount -l "$LAYERS" && rmdir "$LAYERS"' EXIT
mount --make-rprivate /
mount -t tmpfs layers "$LAYERS"
mkdir "$LAYERS/upper" "$LAYERS/work" "$LAYERS/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$LAYERS/upper,workdir=$LAYERS/work" "$LAYERS/root"
ROOT=$LAYERS/root
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
mount --rbind /sys "$ROOT/sys"
mount -t tmpfs run "$ROOT/run"
cp "$DEB" "$ROOT/siplane.deb"
cat > "$ROOT/inside" <<'INSIDE'
set -eu
export DEBIAN_FRONTEND=noninteractive
dpkg -i --force-confdef /siplane.deb > /log 2>&1 || { cat /log; exit 1; }
dpkg-query -W -f '${Status}\n' siplane
echo "conffiles:$(dpkg-query -W -f '${Conffiles}' siplane | awk '{printf " %s", $1}')"
echo "user: $(id -un siplane) of $(id -gn siplane)"
echo "enabled: $(systemctl is-enabled siplane || true)"
systemd-analyze verify /usr/lib/systemd/system/siplane.service
echo "unit: verified"

# As the unit has it: the folders, the user, the capabilities.
unit() { sed -n "s/^$1=//p" /usr/lib/systemd/system/siplane.service; }
install -d -o siplane -g siplane -m "$(unit RuntimeDirectoryMode)" /run/siplane
install -d -o siplane -g siplane -m "$(unit StateDirectoryMode)" /var/lib/siplane
RUNS=
# One that is left behind by what fails would run on when the copy of the machine is gone.
trap '[ -z "$RUNS" ] || kill -KILL "$RUNS"' EXIT
start() {
    (umask "$(unit UMask)" && exec setpriv --reuid siplane --regid siplane --clear-groups --no-new-privs \
        --inh-caps=-all,+net_bind_service,+bpf --ambient-caps=-all,+net_bind_service,+bpf --bounding-set=-all,+net_bind_service,+bpf \
        /usr/bin/siplane run --config /etc/siplane/siplane.toml) 2> /log &
    RUNS=$!
}
python3 - <<'PYTHON'
import fcntl, socket, struct
# lo of this network namespace goes up (SIOCSIFFLAGS, IFF_UP | IFF_RUNNING).
fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8914, struct.pack("16sh14x", b"lo", 0x41))
PYTHON
start
python3 - <<'PYTHON'
import socket, time, urllib.error, urllib.request
for attempt in range(200):
    try:
        urllib.request.urlopen("http://127.0.0.1:9680/readyz")
    except urllib.error.HTTPError as answer:
        print("readyz:", answer.code, answer.read().decode().strip())
        break
    except OSError:
        time.sleep(0.1)
else:
    raise SystemExit(open("/log").read())
call = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
call.settimeout(10)
call.bind(("127.0.0.1", 0))
lines = ["INVITE sip:bob@example.com SIP/2.0", "Via: SIP/2.0/UDP 127.0.0.1:%d;branch=z9hG4bKi;rport" % call.getsockname()[1],
         "From: <sip:a@example.com>;tag=1", "To: <sip:bob@example.com>", "Call-ID: install", "CSeq: 1 INVITE", "Max-Forwards: 9",
         "Contact: <sip:a@127.0.0.1>", "Content-Length: 0", "", ""]
call.sendto("\r\n".join(lines).encode(), ("127.0.0.1", 5060))
answer = ""
while not answer.startswith("SIP/2.0 5"):
    answer = call.recv(65536).decode()
print("call:", answer.splitlines()[0])
PYTHON
# Somebody in the group siplane, and somebody who is not.
useradd -M -G siplane member
useradd -M stranger
as() { who=$1; shift; setpriv --reuid "$who" --regid "$who" --init-groups --inh-caps=-all env HOME=/nowhere LC_ALL=C.UTF-8 "$@"; }
cat > /kamcli.ini <<'INI'
[main]
domain=example.com
[ctl]
type=jsonrpc
[jsonrpc]
transport=socket
srvaddr=/run/siplane/rpc.sock
rcvaddr=/run/siplane/kamcli
outformat=json
INI
# Whatever PATH the machine was started with.
PATH=$PATH:/usr/sbin
echo "ctl: $(as member siplane ctl ping | cut -d, -f1)"
echo "kamcmd: $(as member kamcmd -s unix:/run/siplane/ctl.sock core.version | cut -d' ' -f1)"
echo "kamcli: $(as member kamcli --no-default-configs -c /kamcli.ini srv version | grep -o '"siplane')"
echo "stranger: $(as stranger siplane ctl ping 2>&1 | grep -o 'Permission denied')"
echo "drain: $(as member siplane ctl drain bridges sip:192.0.2.11:5060)"
# What ExecReload= runs.
as siplane $(unit ExecReload) > /reloaded && echo "reload: $(head -n 1 /reloaded)"
end() { kill -TERM "$RUNS" && wait "$RUNS" && RUNS=; }
end
echo "ended: $?"
start
for attempt in $(seq 100); do as member siplane ctl ping > /log 2>&1 && break; sleep 0.1; done
echo "after a restart: $(as member siplane ctl --json show bridges sip:192.0.2.11:5060 | grep -o '"admin": "[a-z]*"')"
end

echo "# the operator's own" >> /etc/siplane/siplane.toml
dpkg -i --force-confdef /siplane.deb > /log 2>&1 || { cat /log; exit 1; }
echo "config after an upgrade: $(tail -n 1 /etc/siplane/siplane.toml)"
dpkg -r siplane > /dev/null 2>&1
echo "config after a removal: $(tail -n 1 /etc/siplane/siplane.toml)"
dpkg -P siplane > /dev/null 2>&1
for left in /usr/bin/siplane /etc/siplane /var/lib/siplane /usr/lib/systemd/system/siplane.service /usr/share/doc/siplane; do
    [ ! -e "$left" ] || echo "left: $left"
done
echo "purged"
INSIDE
chroot "$ROOT" sh /inside
