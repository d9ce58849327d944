"""Packaging of DPIP; tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

# The oldest versions with which the tests pass (tox -e oldest). There are no upper bounds: they would keep
# security fixes from users. What a new version may change unannounced is in dpip/runtime/twisted_private.py.
RUNTIME = [
    "twisted[tls] >= 25.5",
    "klein >= 24.8",
    "treq >= 24.9",
    "pillow >= 11.3",  # AVIF
    "numpy >= 2.0",  # as imagecodecs
    "numba >= 0.61",
    "psutil >= 6",
    "attrs >= 25.4",
    "cachetools >= 5.3",
    "cattrs >= 25.2",
    "multipart >= 2.0, < 3",  # 1.3 may overlook the end of a part; its hooks for headers are not public
    "sqlalchemy >= 2.0.30",
    "alembic >= 1.13",
    "argon2-cffi >= 23.1",
    "cryptography >= 42",
    "platformdirs >= 4",
    "filelock >= 3.14",
    "click >= 8.4",
    "rich >= 13.9.4",
    "simplejpeg >= 1.7",
    "tifffile >= 2026.3.3",  # the kinds of TIFF; imagecodecs has their compressions
    "imagecodecs >= 2026.3.6",
    'isal >= 1.6; platform_machine in "x86_64 AMD64 aarch64 arm64"',
]
VIDEO = ["av >= 18"]
HEIF = ["pillow-heif >= 1.1"]  # its wheels hold x265, which is under the GPL
RAW = ["rawpy >= 0.25"]
POSTGRES = ["psycopg[binary] >= 3.2.2"]
DASK = ["distributed >= 2026.8"]
TEST = [
    "axe-playwright-python >= 0.1.4",  # axe-core: what a page lacks for who cannot see it
    "hypothesis >= 6.100",
    *VIDEO,
    *HEIF,
    *RAW,
    *POSTGRES,  # without a server, apt-get install postgresql, its tests are skipped
    *DASK,
    "opencv-python-headless >= 4.9",  # an independent reference for the filters
    "playwright >= 1.47",  # drives the Chromium of the system; without one the page's tests are skipped
    "pytest >= 8",
    "pytest-twisted >= 1.14",
    "pytest-xdist >= 3.6",
    "schemathesis >= 4.10",  # asks the API whatever its OpenAPI document allows, and what it does not
    'numba-cuda >= 0.30; sys_platform == "linux"',  # its simulator: no GPU, no CUDA
]
LINT = ["bandit >= 1.8", "mypy >= 1.11", "mypy-zope >= 1.0.7", "ruff >= 0.6"]
BENCH = ["opencv-python-headless >= 4.9", *VIDEO]

setup(
    name="dpip",
    version="0.1.0",
    description="Distributed and parallel image processing: any number of workers, and nothing is lost",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    # package_dir and "twisted.plugins" are both needed for an editable install to show twistd the plugin:
    # with a finder hook instead of a path entry, twistd's plugin search never looks into the checkout.
    package_dir={"": "."},
    packages=[*find_packages(include=["dpip", "dpip.*"]), "twisted.plugins"],
    package_data={"dpip": ["py.typed", "page/*"]},
    install_requires=RUNTIME,
    extras_require={
        "test": TEST,
        "lint": LINT,
        "bench": BENCH,
        "video": VIDEO,
        "heif": HEIF,
        "raw": RAW,
        "postgres": POSTGRES,
        "dask": DASK,
        "gpu": ["nvidia-ml-py >= 12", "numba-cuda[cu12] >= 0.30"],
        "dev": [*TEST, *LINT, "build >= 1.2"],
    },
    entry_points={
        "console_scripts": ["dpip = dpip.command:main"],
    },
)
