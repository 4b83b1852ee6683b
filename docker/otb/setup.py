"""Package the Python module of the Orfeo ToolBox; run by install.sh beside the unpacked sources."""

import sys
from pathlib import Path

import numpy as np
from setuptools import Extension, setup

SOURCES = Path("src")
HEADERS = Path("headers/usr/include")
# The packages with the headers are only unpacked: there are no unversioned names to link with.
LINKED = (
    *(
        f"libOTB{name}-8.1.so.1"
        for name in ("ApplicationEngine", "Common", "Metadata", "ImageBase")
    ),
    "libITKCommon-4.13.so.1",
)

setup(
    name="otbApplication",
    version="8.1.1",
    description="Python module of the Orfeo ToolBox, built from Debian's source package",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    python_requires=f"=={sys.version_info.major}.{sys.version_info.minor}.*",
    py_modules=["otbApplication"],
    package_dir={"": "src"},
    ext_modules=[
        Extension(
            "_otbApplication",
            sources=[
                str(path)
                for path in sorted([*SOURCES.glob("*_wrap.cxx"), *SOURCES.glob("python/*.cxx")])
            ],
            include_dirs=[
                np.get_include(),
                *(str(SOURCES / part) for part in (".", "python")),
                *(str(HEADERS / part) for part in ("OTB-8.1", "ITK-4.13", "gdal", ".")),
            ],
            define_macros=[("OTB_SWIGNUMPY", "1")],
            extra_compile_args=["-std=c++14", "-O1", "-g0", "-w"],
            extra_link_args=[f"-l:{name}" for name in LINKED],
        )
    ],
)
