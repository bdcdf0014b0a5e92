"""The dashboard's door: who asks, from where, what for; and what nobody may."""
