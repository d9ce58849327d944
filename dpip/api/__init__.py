"""The REST API: bytes of HTTP on one side, :class:`dpip.interfaces.IController` on the other.

The way of a request: ``channel`` (deadlines, malformed HTTP) → ``request`` (what the headers decide, the
body as it arrives) → ``gate`` and ``bodies`` (who may send what, into memory or into the image store) →
``app`` (the route) → ``sessions``, ``workloads``, ``images``, ``uploads``, ``users``, ``system`` (what is
asked of the controller) → ``answers``, ``downloads``, ``problems`` (what goes back).
"""
