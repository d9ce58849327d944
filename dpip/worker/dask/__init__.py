"""A Dask cluster as the engine of a worker, or of ``dpip run``.

``engine`` is the engine, in the reactor's thread; ``cluster`` is Dask's client in a thread of its own. In
every Dask worker the ``plugin`` keeps a compute ``host``: a process with that Dask worker's compute children.
``load`` adds up what the cluster's machines report. Nothing else imports Dask: ``opening`` does it when
a cluster is asked for.
"""
