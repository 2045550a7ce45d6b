"""One widget a file; they tell the app what happened through messages and are told what to show."""
