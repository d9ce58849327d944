"""The REST API: bytes of HTTP on one side, :class:`dpip.interfaces.IController` on the other.

The way of a request: ``http.channel`` (deadlines, malformed HTTP) → ``request`` (what the headers decide, the
body as it arrives) → ``gate`` and ``bodies`` (who may send what, into memory or into the image store) →
``app`` (the route) → the noun's module (what is asked of the controller) → ``answers``, ``downloads``,
``streams``, ``problems`` (what goes back). ``views`` shows nouns as JSON, ``operations`` describes routes.
"""
