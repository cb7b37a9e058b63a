"""Who may see the console, and who may change something.

`users` reads names, roles and password hashes, `sessions` remembers who has logged in, `attempts`
delays those who guess, `proxy` believes a proxy that logs people in itself. `guard` is the layer
around every page: it refuses before any page runs. `forms` checks that a form is the console's own.
"""
