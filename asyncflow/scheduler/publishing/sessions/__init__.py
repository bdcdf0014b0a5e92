"""What the publishers of brokers share: a session at a time, and the record for which a whole request was refused."""
