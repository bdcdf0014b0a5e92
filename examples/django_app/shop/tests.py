# shop/tests.py
from django.test import TestCase

from asyncflow.integrations.django import current_transaction
from asyncflow.testing import assert_enqueued, drain
from shop.tasks import issue_coupon


class Coupons(TestCase):
    def test_who_registers_gets_a_coupon(self) -> None:
        self.assertEqual(self.client.post("/users/A1001").json(), {"coupons": 0})
        assert_enqueued(current_transaction(), issue_coupon, account_no="A1001")
        drain(current_transaction())
        self.assertEqual(self.client.get("/users/A1001").json(), {"coupons": 1})

    def test_nothing_stays_of_another_test(self) -> None:
        self.assertEqual(drain(current_transaction()).done, 0)
