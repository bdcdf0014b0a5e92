# shop/tasks.py
from django.db.models import F

from asyncflow.integrations.django import DjangoOutbox
from shop.models import User

outbox = DjangoOutbox()


@outbox.task(transactional=True)
def issue_coupon(account_no: str) -> None:
    User.objects.filter(account_no=account_no).update(coupons=F("coupons") + 1)
