# shop/urls.py
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from asyncflow.integrations.django import current_transaction
from shop.models import User
from shop.tasks import issue_coupon


@csrf_exempt
def user(request: HttpRequest, account_no: str) -> JsonResponse:
    if request.method == "POST":
        with transaction.atomic():
            User.objects.create(account_no=account_no)
            issue_coupon.enqueue(current_transaction(), account_no=account_no)
    return JsonResponse({"coupons": get_object_or_404(User, account_no=account_no).coupons})


urlpatterns = [path("users/<account_no>", user)]
