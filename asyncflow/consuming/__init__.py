"""Consume over the inbox: each message takes effect once for each subscriber; a broker's room brings the messages."""
