"""A Dask cluster on SLURM, for a worker of DPIP or for `dpip run`.

    pip install 'dpip[dask]' dask-jobqueue      # where this runs, and in the environment of the jobs
    python dask-slurm.py
    twistd dpip-worker --engine dask+tls://this-host:8786 --spool-dir /shared/spool …
    dpip run /shared/in -o /shared/out --engine dask+tls://this-host:8786 …

It keeps from one to thirty jobs of SLURM running, as many as there is work for, until it is stopped. Files
that are not on a file system that the nodes share travel as bytes. Certificates are those of Dask's
configuration (DASK_DISTRIBUTED__COMM__TLS__CA_FILE …): without TLS, everybody on the nodes' network could run
programs as you.
"""

import signal

from dask_jobqueue import SLURMCluster
from distributed.security import Security

with SLURMCluster(
    queue="normal",
    cores=8,
    processes=1,
    memory="32GB",
    walltime="04:00:00",
    local_directory="$TMPDIR",  # for pictures that travel as bytes
    job_script_prologue=[". /opt/dpip/venv/bin/activate", "export NUMBA_CACHE_DIR=$HOME/.cache/dpip"],
    worker_extra_args=["--lifetime", "230m", "--lifetime-stagger", "5m"],  # leave before the walltime ends
    scheduler_options={"port": 8786},
    protocol="tls://",
    security=Security(require_encryption=True),
) as cluster:
    cluster.adapt(minimum_jobs=1, maximum_jobs=30)
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
