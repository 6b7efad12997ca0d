# far.sh LINE: run a shell command line in a network of its own, joined with this one by a cable.
set -e
name=far-$$
ip netns add "$name"
trap 'ip netns delete "$name"' EXIT
ip link add "near-$$" type veth peer name inside netns "$name"
ip address add 10.231.77.1/30 dev "near-$$"
ip link set "near-$$" up
ip -n "$name" address add 10.231.77.2/30 dev inside
ip -n "$name" link set inside up
ip -n "$name" link set lo up
ip netns exec "$name" sh -c "$1"
