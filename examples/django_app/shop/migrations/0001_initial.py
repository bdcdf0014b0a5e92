# shop/migrations/0001_initial.py
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    operations = [
        migrations.CreateModel(
            name="User",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("account_no", models.CharField(max_length=20, unique=True)),
                ("coupons", models.IntegerField(default=0)),
            ],
        ),
    ]
