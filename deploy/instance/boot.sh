#!/bin/sh
# What a machine does first: fetches its release, installs it from nothing but itself, and starts the processes of its role. Told again, it changes nothing.
#
#   boot.sh ROLE        web, door, stream, worker or scheduler
#   boot.sh migrate     on a machine that runs already: installs the release beside the running one, brings the database up to date with it, and no more
#
# The launch says: ATRIUM_ENVIRONMENT, AWS_REGION, ATRIUM_RELEASE_AT (s3://bucket/releases/NAME), ATRIUM_GROUP, ATRIUM_HOOK, and where there is a shared file
# system ATRIUM_FILES and ATRIUM_FILES_ENTRY (its id, and its access point's). No secret is here or there: the processes read their settings themselves, by
# the machine's role. A migration asks for ATRIUM_RELEASE_AT alone; the rest is kept from the launch.
set -eu
role=$1
root=${ATRIUM_ROOT:-}   # only in trials: where everything is put in place of /
if [ "$role" = migrate ]; then
    # shellcheck disable=SC1091
    . "$root/etc/atrium/machine"
fi
: "${ATRIUM_ENVIRONMENT:?}" "${AWS_REGION:?}" "${ATRIUM_RELEASE_AT:?}" "${ATRIUM_GROUP:?}" "${ATRIUM_HOOK:?}"
home=$root/opt/atrium
var=$root/var/lib/atrium
python=${ATRIUM_PYTHON:-python3.11}
say() { echo "atrium boot: $1"; }
fail() { say "$1" >&2; exit 1; }

case $role in
    web) units="web" port=${ATRIUM_PORT:-8000} ;;
    door) units="door" port=${ATRIUM_PORT:-8001} ;;
    stream) units="stream figures" port= ;;
    worker) units="worker sender" port= ;;
    scheduler) units="scheduler watch" port= ;;
    migrate) units="" port="" ;;
    *) fail "There is no role $role. Give web, door, stream, worker, scheduler or migrate." ;;
esac

mkdir -p "$home/releases" "$root/etc/atrium" "$root/etc/systemd/system" "$var"
if [ -z "$root" ]; then
    command -v "$python" >/dev/null || dnf install -y -q python3.11 python3.11-pip amazon-efs-utils amazon-cloudwatch-agent
    id atrium >/dev/null 2>&1 || useradd --system --uid 1500 --home-dir "$var" --shell /sbin/nologin atrium
    chown atrium: "$var"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
aws s3 cp --only-show-errors "$ATRIUM_RELEASE_AT/atrium.tar.gz" "$work/atrium.tar.gz" || fail "The release cannot be fetched from $ATRIUM_RELEASE_AT."
aws s3 cp --only-show-errors "$ATRIUM_RELEASE_AT/atrium.tar.gz.sha256" "$work/atrium.tar.gz.sha256" || fail "The release has no digest beside it."
(cd "$work" && sha256sum --check --status atrium.tar.gz.sha256) || fail "The release is not what its digest says. Build and upload it again."

release=$home/releases/$(cut -c 1-12 "$work/atrium.tar.gz.sha256")
if [ ! -e "$release/whole" ]; then
    rm -rf "$release"
    mkdir "$release"
    tar -xzf "$work/atrium.tar.gz" -C "$release" --no-same-owner
    "$python" -m venv "$release/venv"
    "$release/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --require-hashes \
        --find-links "$release/wheels" --requirement "$release/requirements.lock" || fail "What the release runs on could not be installed."
    rm -rf "$release/wheels"
    touch "$release/whole"
fi
if [ "$role" = migrate ]; then
    exec "$release/instance/migrate" "$release"
fi
ln -sfn "$release" "$home/next" && mv -T "$home/next" "$home/current"

# Of Amazon's databases: with it a connection is only made to the real one.
if [ ! -s "$home/rds.pem" ]; then
    curl --silent --show-error --fail --retry 5 --output "$work/rds.pem" "${ATRIUM_CERTIFICATES_AT:-https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem}" ||
        fail "Amazon's certificates of databases cannot be fetched."
    mv "$work/rds.pem" "$home/rds.pem"
    chmod 644 "$home/rds.pem"
fi

cat >"$root/etc/atrium/environment" <<END
AWS_REGION=$AWS_REGION
ATRIUM_PARAMETERS=/atrium/$ATRIUM_ENVIRONMENT
ATRIUM_SECRETS=atrium-$ATRIUM_ENVIRONMENT-settings
ATRIUM_STATIC=$home/current/static
ATRIUM_VAR=$var
HOST=0.0.0.0
PORT=${port:-8000}
PYTHONUNBUFFERED=1
END
cat >"$root/etc/atrium/machine" <<END
ATRIUM_ENVIRONMENT=$ATRIUM_ENVIRONMENT
AWS_REGION=$AWS_REGION
ATRIUM_GROUP=$ATRIUM_GROUP
ATRIUM_HOOK=$ATRIUM_HOOK
ATRIUM_UNITS="$units"
END

# What the processes say and count, and how full the disk is, to CloudWatch.
mkdir -p "$root/var/log/atrium" "$root/etc/logrotate.d" "$root/opt/aws/amazon-cloudwatch-agent/etc"
sed -e "s|@ENVIRONMENT@|$ATRIUM_ENVIRONMENT|" -e "s|@ROLE@|$role|" "$release/instance/agent.json" >"$root/opt/aws/amazon-cloudwatch-agent/etc/amazon-cloudwatch-agent.json"
cp "$release/instance/logrotate.conf" "$root/etc/logrotate.d/atrium"
systemctl enable --now amazon-cloudwatch-agent.service || say "The agent of CloudWatch does not start. The processes go on; nobody hears of them."

if [ -n "${ATRIUM_FILES:-}" ] && [ -z "$root" ]; then
    mkdir -p /srv/atrium
    grep -q " /srv/atrium " /etc/fstab || echo "$ATRIUM_FILES:/ /srv/atrium efs _netdev,noresvport,tls,iam,accesspoint=$ATRIUM_FILES_ENTRY 0 0" >>/etc/fstab
    mountpoint -q /srv/atrium || mount /srv/atrium || fail "The shared file system cannot be mounted."
fi

for unit in $units drain; do
    cp "$release/instance/units/atrium-$unit.service" "$root/etc/systemd/system/"
done
systemctl daemon-reload
for unit in $units drain; do
    systemctl enable --now "atrium-$unit.service" || fail "atrium-$unit does not start; journalctl -u atrium-$unit says why."
done

if [ -n "$port" ]; then
    tries=0
    until curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$port/healthz/live"; do
        tries=$((tries + 1))
        [ "$tries" -lt 120 ] || fail "$role does not answer; journalctl -u atrium-$role says why."
        sleep 0.5
    done
fi
say "$role runs release $(cat "$release/release.json")"
