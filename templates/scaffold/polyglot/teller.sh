# Bash: sends five bookings over TCP and waits for each confirmation.
# Without t_ns an event has the time at which its line was read: an upper bound, and marked so.
set -eu

probe() { printf '%s\n' "$1" >> "$TESTRIUM_PROBES"; }

exec 3<> "/dev/tcp/127.0.0.1/$TESTRIUM_PORT_GATEWAY_TCP"
for number in 1 2 3 4 5; do
  key="booking-$number"
  # The first probe of the route: a Send, written before the message leaves. Its key travels along.
  probe "{\"step\": \"sent\", \"type\": \"Send\", \"key\": \"$key\"}"
  printf '%s\n' "$key" >&3
  IFS= read -r answer <&3
  probe "{\"step\": \"confirmed\", \"type\": \"Receive\", \"key\": \"$answer\"}"
done
probe '{"step": "finished"}'
