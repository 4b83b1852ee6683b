"""The table of commands: where each one is, what it does, an example. Imports nothing heavy."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A click command that is imported by name when it is used."""

    target: str
    """`module:object`."""
    summary: str
    """One line for the list of commands."""


@dataclass(frozen=True, slots=True)
class StageCommand:
    """A stage: its command is made from its configuration class."""

    target: str
    """`module:configuration class:function`."""
    summary: str
    """One line for the list of commands."""
    example: str
    """A complete call."""
    details: str = ""
    """What the options do together, where their own texts cannot say it."""
    plan: str = ""
    """Function of the same module that says what would be done; `--dry-run` shows its result."""
    without_effect: dict[str, str] = field(default_factory=dict)
    """Historic options that do nothing now (`--clean`; with a value `--tmp TEXT`), and why."""


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """Stages whose names begin with the same word."""

    summary: str
    """One line for the list of commands."""


STAGES = {
    "doctor": StageCommand(
        "decloud_lib.stages.doctor:DoctorConfig:doctor",
        "Check what the work needs: versions, GDAL, engines, GPUs, bucket, MLflow.",
        "decloud doctor --bucket s3://decloud --mlflow --gpus 1",
        "Prints a line per thing looked at. Status 2 when something that is needed is wrong; the "
        "first task of each pipeline is this check.",
    ),
    "prepare": StageCommand(
        "decloud_lib.stages.prepare:PrepareConfig:prepare",
        "Prepare all delivered products below a folder or prefix, in parallel.",
        "decloud prepare raw --prepared prepared",
        "Finds Sentinel-1, Sentinel-2 and elevations of all families. --dry-run prints a table: "
        "what would be made, from what, how large, and what is skipped and why. A product that "
        "fails goes into quarantine with the reason, the rest is prepared, and the status is 3. "
        "The same command again does what is missing.",
        plan="plan",
    ),
    "inspect": StageCommand(
        "decloud_lib.stages.inspect:InspectConfig:inspect",
        "Show what a product or an image is, with a picture on demand.",
        "decloud inspect prepared/S2_PREPARE/T31TEJ/PRODUCT --quicklook product.png",
    ),
    "list-products": StageCommand(
        "decloud_lib.stages.list_products:ListProductsConfig:list_products",
        "List delivered products in batches, one batch per preparation task.",
        "decloud list-products --products s3://decloud/raw --prepared s3://decloud/prepared \\\n"
        "  --family s2 --batch 1",
    ),
    "prepare-s1": StageCommand(
        "decloud_lib.stages.prepare_s1:PrepareS1Config:prepare_s1",
        "Turn each Sentinel-1 VV/VH pair into one encoded raster.",
        "decloud prepare-s1 --out-s1-dir s3://decloud/prepared/S1_PREPARE \\\n"
        "  --input-s1-vh s3://decloud/raw/SENTINEL1/T31TEJ/"
        "s1b_31TEJ_vh_DES_110_20201011t060008.tif",
    ),
    "prepare-s2": StageCommand(
        "decloud_lib.stages.prepare_s2:PrepareS2Config:prepare_s2",
        "Turn Sentinel-2 products (folders or .zip) into stacks, masks and statistics.",
        "decloud prepare-s2 --in-image PRODUCT_FOLDER_OR_ZIP --out-s2-dir prepared/S2_PREPARE",
    ),
    "prepare-dem": StageCommand(
        "decloud_lib.stages.prepare_dem:PrepareDemConfig:prepare_dem",
        "Bring an elevation model onto the 20 m grid of a tile.",
        "decloud prepare-dem --dem raw/DEM/T31TEJ.tif --reference STACK_20m.tif \\\n"
        "  --output prepared/DEM_PREPARE/T31TEJ.tif",
        without_effect={
            "--tmp TEXT": "temporary files go to TMPDIR, and none of them stays.",
            "--margin TEXT": "the source is read as far around the tile as the resampling needs.",
            "--clean": "there is no cache that could be cleaned.",
        },
    ),
    "make-tiles": StageCommand(
        "decloud_lib.stages.make_tiles:MakeTilesConfig:make_tiles",
        "Write the JSON list of prepared tiles.",
        "decloud make-tiles --prepared s3://decloud/prepared \\\n"
        "  --output s3://decloud/prepared/tiles.json",
    ),
    "make-roi": StageCommand(
        "decloud_lib.stages.make_roi:MakeRoiConfig:make_roi",
        "Split each tile into regions for training and validation.",
        "decloud make-roi --tiles prepared/tiles.json --output-dir prepared/ROI \\\n"
        "  --datasets train valid --props 0.8 0.2",
    ),
    "layout list": StageCommand(
        "decloud_lib.stages.list_layouts:ListLayoutsConfig:list_layouts",
        "List the acquisition layouts that come with the package.",
        "decloud layout list",
    ),
    "layout show": StageCommand(
        "decloud_lib.stages.show_layout:ShowLayoutConfig:show_layout",
        "Show what an acquisition layout asks for, with a picture on demand.",
        "decloud layout show AL-CRGA-OS2-Occitanie --plot layout.png",
    ),
    "sample": StageCommand(
        "decloud_lib.stages.sample:SampleConfig:sample",
        "Search samples that fit an acquisition layout and write them as TFRecords.",
        "decloud sample --tiles prepared/tiles.json --rois prepared/ROI/rois.json \\\n"
        "  --acquisition-train AL-CRGA-OS2-clear-neighbours --output-train samples/os2/train \\\n"
        "  --acquisitions-valid AL-CRGA-OS2-clear-neighbours --outputs-valid samples/os2/valid",
        "A data set is an acquisition layout and an output folder, and takes the ground that the "
        "regions give to train, valid or test. One call makes all sets, so that it can prove that "
        "none leaks into the training. --dry-run searches and draws, and tells what would be "
        "written.",
        plan="plan",
    ),
    "analyse all": StageCommand(
        "decloud_lib.stages.analyse:AnalyseConfig:analyse",
        "All analyses on one page.",
        "decloud analyse all --tiles prepared/tiles.json --rois prepared/ROI/rois.json \\\n"
        "  --records samples/os2/train samples/os2/valid --layout AL-CRGA-OS2-Occitanie \\\n"
        "  --out s3://decloud/analysis",
        "The page, report.html, holds its pictures. Beside it lie the pictures, tables (CSV, JSON) "
        "and maps (GeoTIFF) of each part. Maps of cloud and validity have cells of 64 px, all "
        "others of --patchsize.",
    ),
    "analyse counts": StageCommand(
        "decloud_lib.stages.analyse_counts:AnalyseCountsConfig:analyse_counts",
        "Count the samples of layouts in the regions of each data set.",
        "decloud analyse counts --tiles prepared/tiles.json --rois prepared/ROI/rois.json \\\n"
        "  --out analysis/counts",
        "Without --layouts all shipped layouts are counted. Nothing is listed to be counted, so "
        "millions of samples take seconds.",
    ),
    "analyse coverage": StageCommand(
        "decloud_lib.stages.analyse_coverage:AnalyseCoverageConfig:analyse_coverage",
        "Map mean cloud and the numbers of valid images of each tile.",
        "decloud analyse coverage --tiles prepared/tiles.json --out analysis/coverage",
    ),
    "analyse uses": StageCommand(
        "decloud_lib.stages.analyse_uses:AnalyseUsesConfig:analyse_uses",
        "Map how often the samples of layouts use the images of each position.",
        "decloud analyse uses --tiles prepared/tiles.json --rois prepared/ROI/rois.json \\\n"
        "  --layouts AL-CRGA-OS2-Occitanie --out analysis/uses",
    ),
    "analyse gaps": StageCommand(
        "decloud_lib.stages.analyse_gaps:AnalyseGapsConfig:analyse_gaps",
        "Count the time between Sentinel-2 and Sentinel-1 images of each position.",
        "decloud analyse gaps --tiles prepared/tiles.json --out analysis/gaps",
    ),
    "analyse images": StageCommand(
        "decloud_lib.stages.analyse_images:AnalyseImagesConfig:analyse_images",
        "Compute statistics and histograms of the bands of images.",
        "decloud analyse images --images prepared/S2_PREPARE/T31TEJ --pattern '*_FRE_10m.tif' \\\n"
        "  --nodata -10000 --out analysis/images",
    ),
    "analyse records": StageCommand(
        "decloud_lib.stages.analyse_records:AnalyseRecordsConfig:analyse_records",
        "Show where the samples of record folders lie.",
        "decloud analyse records --records samples/os2/train samples/os2/valid \\\n"
        "  --out analysis/records",
    ),
    "analyse layout": StageCommand(
        "decloud_lib.stages.analyse_layout:AnalyseLayoutConfig:analyse_layout",
        "Advise which S1-S2 gap and time windows a layout should have.",
        "decloud analyse layout --tiles prepared/tiles.json --layout AL-CRGA-OS2-Occitanie \\\n"
        "  --gaps 24 36 48 72 --inner-days 2 4 6 8 10 --outer-days 15 20 30 --min-samples 5000 \\\n"
        "  --out analysis/layout",
        "Tries all combinations, tabulates their samples, and recommends the smallest gap and "
        "windows that reach what is wanted. The layout it recommends is written as JSON, for "
        "'decloud sample'.",
    ),
    "train": StageCommand(
        "decloud_lib.stages.train:TrainConfig:train",
        "Train a network, follow it in MLflow and export it as a SavedModel.",
        "decloud train --training-record samples/os2/train --valid-records samples/os2/valid \\\n"
        "  --model crga_os2_david -e 20 --out-savedmodel models",
    ),
    "evaluate": StageCommand(
        "decloud_lib.stages.evaluate:EvaluateConfig:evaluate",
        "Score a network beside others on the same samples.",
        "decloud evaluate --test-records samples/os2/valid --savedmodel models/NAME \\\n"
        "  --baselines linear_gap_filling nearest_date --output scores/os2",
    ),
    "draw-records": StageCommand(
        "decloud_lib.stages.draw_records:DrawRecordsConfig:draw_records",
        "Draw samples beside what a network makes of them, as PNG.",
        "decloud draw-records --valid-records samples/os2/valid --savedmodel models/NAME \\\n"
        "  --outdir pictures --limit 20",
    ),
    "evaluate-series": StageCommand(
        "decloud_lib.stages.evaluate_series:EvaluateSeriesConfig:evaluate_series",
        "Hide the clear dates of a prepared series and score how models estimate them.",
        "decloud evaluate-series --tiles prepared/tiles.json --savedmodels models/NAME \\\n"
        "  --output scores/series",
        "Each clear date is hidden wholly, and partly by real cloud masks of other dates; scores "
        "are over hidden pixels. docs/proof.md says what is compared and what came out.",
    ),
    "sweep plan": StageCommand(
        "decloud_lib.stages.sweep_plan:SweepPlanConfig:sweep_plan",
        "Say which trainings a sweep consists of, and begin its parent run in MLflow.",
        "decloud sweep plan --name rates --space '{\"learning_rate\": [0.0002, 0.001]}' \\\n"
        '  --settings \'{"model": "residual", "training_record": "train", "epochs": 20, \n'
        '    "valid_records": ["valid"], "out_savedmodel": "models"}\'',
        "All combinations of the choices, or --points drawn ones. The pipeline does the rest: "
        "'decloud submit sweep'. --dry-run begins nothing.",
        plan="preview",
    ),
    "sweep point": StageCommand(
        "decloud_lib.stages.sweep_point:SweepPointConfig:sweep_point",
        "Train one network of a sweep and score it.",
        "decloud sweep point --test-records test --scores scores/rates/3f2a --settings \\\n"
        '  \'{"model": "residual", "training_record": "train", "out_savedmodel": "models"}\'',
    ),
    "sweep choose": StageCommand(
        "decloud_lib.stages.sweep_choose:SweepChooseConfig:sweep_choose",
        "Choose the best network of a sweep, and show all of them on its parent run.",
        "decloud sweep choose --name rates --score psnr_db",
    ),
    "leaderboard": StageCommand(
        "decloud_lib.stages.leaderboard:LeaderboardConfig:leaderboard",
        "Show the runs in MLflow in the order of a score, here and as a page.",
        "decloud leaderboard --page leaderboard.html",
        "A table for each experiment: the runs on the same data for the same task. The page sorts "
        "by a click and holds a thumbnail of each run.",
    ),
    "promote": StageCommand(
        "decloud_lib.stages.promote:PromoteConfig:promote",
        "Register a network and make it the champion if it is better, on evidence.",
        "decloud promote --savedmodel models/NAME --run-id RUN --test-records samples/os2/test \\\n"
        "  --policy policy.yaml --output promotion",
        "The network, the champion and the baseline of the policy are scored on the same samples; "
        "docs/promotion.md has the rules. Status 4 when the rules kept the champion; --json prints "
        "outcome and reason. Without --test-records the version is registered as challenger.",
    ),
    "card": StageCommand(
        "decloud_lib.stages.card:CardConfig:card",
        "Show the card of a registered network: data, places, scores, limits, contract.",
        "decloud card --model models:/decloud@champion --output card",
    ),
    "rollback": StageCommand(
        "decloud_lib.stages.rollback:RollbackConfig:rollback",
        "Go back to the champion before this one.",
        "decloud rollback --name decloud",
    ),
    "reconstruct": StageCommand(
        "decloud_lib.stages.reconstruct:ReconstructConfig:reconstruct",
        "Rebuild one cloudy Sentinel-2 date with a network.",
        "decloud reconstruct --in-s2 prepared/S2_PREPARE/T31TEJ/PRODUCT \\\n"
        "  --s1-dir prepared/S1_PREPARE/T31TEJ --s2-dir prepared/S2_PREPARE/T31TEJ \\\n"
        "  --dem prepared/DEM_PREPARE/T31TEJ.tif --savedmodel models:/decloud@champion \\\n"
        "  --output reconstructed/PRODUCT.tif",
        "The dates around it are chosen from --s1-dir and --s2-dir, or named with the --il-... "
        "options; a side that is named is not added to. --dry-run tells the windows, memory, disk "
        "and time.",
        plan="plan",
    ),
    "synthesise": StageCommand(
        "decloud_lib.stages.synthesise:SynthesiseConfig:synthesise",
        "Make a cloud-free image of a month out of its dates.",
        "decloud synthesise --s2-dir prepared/S2_PREPARE/T31TEJ --year 2020 --month 10 \\\n"
        "  --savedmodel models:/monthly@champion --out-dir monthly",
        "The model decides what is read: six optical images, and beside each of them a mosaic of "
        "its six closest radar images where it takes them. --dry-run tells the windows, memory, "
        "disk and time.",
        plan="plan",
    ),
    "reconstruct-series": StageCommand(
        "decloud_lib.stages.reconstruct_series:ReconstructSeriesConfig:reconstruct_series",
        "Rebuild all dates of a period with a network.",
        "decloud reconstruct-series --s1-dir prepared/S1_PREPARE/T31TEJ \\\n"
        "  --s2-dir prepared/S2_PREPARE/T31TEJ --dem prepared/DEM_PREPARE/T31TEJ.tif \\\n"
        "  --savedmodel models:/decloud@champion --out-dir reconstructed \\\n"
        "  --start 2020-09-01 --end 2020-10-31",
        "A date that fails is skipped with its reason, and the same command again goes on. "
        "--dry-run tells what would become of each date, and the windows, memory, disk and time. "
        "docs/reconstruction.md is the guide.",
        plan="plan",
    ),
    "list-series": StageCommand(
        "decloud_lib.stages.list_series:ListSeriesConfig:list_series",
        "List tiles and periods of prepared dates, one reconstruction task each.",
        "decloud list-series --s2-dir s3://decloud/prepared/S2_PREPARE \\\n"
        "  --out-dir s3://decloud/reconstructed --start 2020-01-01 --days 30",
    ),
    "monitor": StageCommand(
        "decloud_lib.stages.monitor:MonitorConfig:monitor",
        "Compare what is rebuilt with what the network was trained on.",
        "decloud monitor --statistics s3://decloud/statistics --out s3://decloud/monitoring \\\n"
        "  --savedmodel models:/decloud@champion",
        "Reads the tables that reconstruct and reconstruct-series write with --statistics. Status "
        "4 when something has moved; 'decloud retrain --monitoring OUT/monitor.json' trains again "
        "then.",
    ),
}

#: By the first word of the names of their stages.
GROUPS = {
    "layout": CommandGroup("List and show acquisition layouts: which images a sample consists of."),
    "sweep": CommandGroup("Train with several settings and keep the best: see 'submit sweep'."),
    "analyse": CommandGroup("Say what tiles, layouts, images and samples hold, on one page."),
}

COMMANDS: dict[str, StageCommand | LazyCommand | CommandGroup] = {
    **{(word := name.partition(" ")[0]): GROUPS.get(word, stage) for name, stage in STAGES.items()},
    "demo": LazyCommand("pipelines.demo:demo", "Run the whole chain on this machine, with report."),
    "retrain": LazyCommand(
        "pipelines.retrain:retrain", "Train again if something changed, and compare."
    ),
    "compile": LazyCommand("pipelines.compile:compile_command", "Write the pipelines as YAML."),
    "submit": LazyCommand("pipelines.submit:submit", "Run a pipeline on a cluster or here."),
    "plan": LazyCommand("pipelines.plan:plan", "Say what many tiles would take on a cluster."),
    "train-job": LazyCommand(
        "pipelines.train_job:train_job", "Write the manifest of a training on several machines."
    ),
}
