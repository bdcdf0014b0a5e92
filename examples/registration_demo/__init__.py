"""User registration: `accounts` announces each new user, `coupon` and `points` answer with a gift.

python -m examples.registration_demo            SQLite and a Kafka-protocol broker; needs no server
python -m examples.registration_demo --real     MariaDB and Apache Kafka, from `make services`
"""
