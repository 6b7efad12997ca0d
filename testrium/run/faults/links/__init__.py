"""Proxies in front of units' ports: delay, throttle, lose and cut what passes them."""
