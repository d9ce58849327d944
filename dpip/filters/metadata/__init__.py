"""What a file says besides its pixels: each kind is read, edited and written in one place.

``parts`` has the nouns, ``fitting`` decides what is true of a result; ``exif``, ``xmp``, ``photoshop`` (IPTC
among it), ``icc`` and ``spaces`` know one kind each, ``jpeg`` and ``multipicture`` a container.
"""
