"""What each error code means: read by `rankdistill explain`. Ground floor.

A room that raises a new code adds its line here; tests/test_errors.py checks that none is
missing.
"""

from __future__ import annotations

CODES = {
    "E0100": "The configuration file cannot be opened, is not UTF-8, or is over 1 MB.",
    "E0101": "The configuration is not YAML as we read it: broken syntax, a tab, a key given twice,"
    " a tag, nesting over 20 levels, over 50 aliases, or a number that is not finite.",
    "E0102": "A column named in the mapping is not in the input log, or one of quality.segments is"
    " no column of requests that can make segments.",
    "E0103": "The configuration has a key that its block does not know.",
    "E0104": "A value has the wrong type or lies outside its bounds.",
    "E0105": "Options that are right one by one are refused together.",
    "E0106": "A key without a default is missing.",
    "E0107": "A name or kind is not one of those known.",
    "E0108": "A --set override cannot be understood or applied.",
    "E0109": "An ${env:NAME} reference stands where none is read, or the variable is not set.",
    "E0110": "The command line has a verb, an option or a value that is not known, or lacks one.",
    "E0201": "The output folder is not a data set of ours, and not empty.",
    "E0202": "A place is refused: it is closed to us, or what is written there would meet a file of"
    " another kind, the input, a symbolic link, no folder, or the home folder or what holds it.",
    "E0203": "Another build has committed the same dt in the meantime.",
    "E0204": "A stored table is damaged: a part or a version is lost, changed or miscounted.",
    "E0205": "A column has changed its type since the data set was made.",
    "E0206": "The data set has no such build, table, column or version.",
    "E0207": "A dt would be replaced by a build that has read only a part of its input.",
    "E0208": "Days that the draws of a day look into (catalogue.window, history_window,"
    " future_window) are in no build, though the log or the data set begins before them. Build"
    " those days first, in order, or all days at once; or shorten the windows; or draw without"
    " those days: catalogue.allow_short_history: true. Before the first known day none is missing.",
    "E0209": "The data set was written by a newer rankdistill; this one leaves it as it is.",
    "E0301": "Teacher scores are null, NaN or infinite; the rows were set aside.",
    "E0303": "Ranks or positions are below the stated rank_base.",
    "E0304": "A column of the log has a type that its place in the mapping does not take.",
    "E0305": "The samples would blow up; a cap is missing or too wide.",
    "E0306": "The input has two columns of one name, or of names that differ only in case.",
    "E0307": "Files of the log differ from each other, or from log.names, in their columns.",
    "E0308": "In a log of lists over a million request ids occur in more than one row.",
    "E0309": "The data set has no request of that id.",
    "E0310": "An input file is damaged, cut off or not of the stated format.",
    "E0311": "No file matches the path of the log.",
    "E0312": "No row of the log, or of the item table (catalogue.items), can be used.",
    "E0313": "A value cannot be written in the format of an export without being changed.",
    "E0314": "Two items of the catalogue have the same 64-bit key.",
    "E0315": "A table of vectors, or of what is exported, has nulls, NaN, widths that differ, or"
    " an id twice.",
    "E0316": "There is nobody to mine negatives for: no positive has the vectors of both its user"
    " and its item.",
    "E0317": "A feature table without a time has several rows of one key.",
    "E0318": "A feature table is too large to be joined: a worker could not hold it.",
    "E0319": "Days of a data set that were mapped in different ways cannot be trained on together.",
    "E0401": "Spark cannot start: Java 17 or newer is not found.",
    "E0402": "The disk is full.",
    "E0403": "Memory ran out; the message names the setting to change.",
    "E0404": "A package is missing or its version does not fit.",
    "E0405": "No CUDA device is there for a process, or not as training needs it.",
    "E0406": "Spark gave a build up: executors were lost, or a task failed as often as it may.",
    "E0501": "The loss, or a score of the student, is not finite.",
    "E0502": "There is nothing to learn, validate or evaluate on, or only what was learned from.",
    "E0503": "A checkpoint is damaged, or of another config or data.",
    "E0504": "An export is damaged or foreign, or does not score as its run does.",
    "E0505": "Another process of the same training has ended.",
    "E0601": "The metrics are missing, damaged or of an unknown schema version.",
    "E0602": "A quality gate failed: a build published nothing, or `check` says so; see"
    " quality.fail_on.",
    "E0603": "Too few clean days for a baseline.",
    "E0604": "The metrics are not those of the tables: `check --recompute` found others.",
}
