from glob import glob

from setuptools import find_packages, setup

# `models` is a link to the repository's folder: data files are looked for below this one.
models = {folder: glob(f"{folder}/*.*") for folder in glob("models/*")}

setup(
    name="mivla_policy",
    version="0.1.0",
    packages=find_packages(),
    package_data={"mivla_policy": ["robotwin/*.yml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/mivla_policy"]),
        ("share/mivla_policy", ["package.xml"]),
        *((f"share/mivla_policy/{folder}", files) for folder, files in sorted(models.items())),
    ],
    license="Apache-2.0",
    description="The mind: action space, model, data, training, policy node.",
    entry_points={"console_scripts": ["policy = mivla_policy.nodes.policy:main"]},
)
