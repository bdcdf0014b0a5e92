# shop/models.py
from django.db import models


class User(models.Model):
    account_no = models.CharField(max_length=20, unique=True)
    coupons = models.IntegerField(default=0)
