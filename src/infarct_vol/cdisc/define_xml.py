"""define.xml: the metadata of a set of datasets, Define-XML 2.1 on ODM 1.3.2.

Elements stand in the order of the CDISC schema, which is part of the standard. Codelists are the sponsor's
own and say so. Lengths of text are bytes, as in the transport files beside it; length and significant
digits of a float are those of its display format, or what a double can hold where there is none.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from infarct_vol.cdisc.identity import (
    SourceSystem,
    StudyInfo,
    check_study,
    dataset_oid,
    iso_time,
    metadata_version_oid,
    variable_oid,
)
from infarct_vol.cdisc.metadata import checked
from infarct_vol.cdisc.model import (
    Codelist,
    Dataset,
    Purpose,
    ValueLevel,
    Variable,
    iso_type,
    numbers,
    parsed_format,
)
from infarct_vol.cdisc.values import DatasetError, text_bytes

NAMESPACES = {
    "xmlns": "http://www.cdisc.org/ns/odm/v1.3",
    "xmlns:def": "http://www.cdisc.org/ns/def/v2.1",
    "xmlns:xlink": "http://www.w3.org/1999/xlink",
}
_DOUBLE_DIGITS = 17  # decimal digits that tell every double from every other (IEEE 754-2019, 5.12.2)
_NO_XML = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_ONE_ROW_A_SUBJECT = "SUBJECT LEVEL ANALYSIS DATASET"


@dataclass(frozen=True)
class Standard:
    """An implementation guide that datasets follow."""

    name: str
    version: str

    @property
    def oid(self) -> str:
        """Identifier in the file."""
        return f"STD.{self.name}.{self.version}"


@dataclass(frozen=True)
class Document:
    """A document that goes with the datasets; its file name is relative to define.xml."""

    name: str
    file_name: str
    title: str


STANDARDS: Mapping[Purpose, Standard] = MappingProxyType(
    {"Analysis": Standard("ADaMIG", "1.3"), "Tabulation": Standard("SDTMIG", "3.4")}
)


def define_xml(
    datasets: Sequence[Dataset],
    *,
    study: StudyInfo,
    system: SourceSystem,
    created: datetime,
    standards: Mapping[Purpose, Standard] = STANDARDS,
    non_standard: Collection[str] = (),
    documents: Sequence[Document] = (),
    context: Literal["Submission", "Other"] = "Submission",
) -> bytes:
    """Return the define.xml of datasets whose transport files lie beside it.

    A dataset that does not fit a transport file is named by its Dataset-JSON file.

    Parameters
    ----------
    created
        When the file counts as made; nothing else in it depends on time.
    standards
        The guide followed by datasets of each purpose.
    non_standard
        Names of datasets that follow no guide, such as a sponsor's own domain.
    documents
        Supplemental documents, in the order to be read.

    Raises
    ------
    DatasetError
        As `checked` and `check_study`; if a dataset or document is named twice, a codelist's name has two
        meanings, a predecessor is not named, or a text cannot stand in XML.
    """
    check_study(study, system=system)
    known = [checked(dataset) for dataset in datasets]
    _check_unique([each.name for each in known], what="dataset")
    _check_unique([each.name for each in documents], what="document")
    followed = {
        each.name: None if each.name in non_standard else standards.get(each.purpose) for each in known
    }
    root = _root(study, system=system, created=created, context=context)
    version = _study(root, study)
    _standards(version, [each for each in followed.values() if each])
    if documents:
        supplemental = ET.SubElement(version, "def:SupplementalDoc")
        for document in documents:
            ET.SubElement(supplemental, "def:DocumentRef", {"leafID": f"LF.DOC.{document.name}"})
    parts = _Parts()
    for dataset in known:
        _dataset(parts, dataset, standard=followed[dataset.name])
    version.extend(parts.in_order())
    for document in documents:
        version.append(_leaf(f"LF.DOC.{document.name}", href=document.file_name, title=document.title))
    return _written(root)


@dataclass
class _Parts:
    """What is referred to, gathered while the datasets are gone through; identifier to element."""

    value_lists: dict[str, ET.Element] = field(default_factory=dict)
    where_clauses: dict[str, ET.Element] = field(default_factory=dict)
    datasets: dict[str, ET.Element] = field(default_factory=dict)
    items: dict[str, ET.Element] = field(default_factory=dict)
    codelists: dict[str, ET.Element] = field(default_factory=dict)
    methods: dict[str, ET.Element] = field(default_factory=dict)
    comments: dict[str, ET.Element] = field(default_factory=dict)
    known_codelists: dict[str, Codelist] = field(default_factory=dict)

    def in_order(self) -> list[ET.Element]:
        """Return all elements in the order of the schema."""
        groups = (
            self.value_lists,
            self.where_clauses,
            self.datasets,
            self.items,
            self.codelists,
            self.methods,
            self.comments,
        )
        return [element for group in groups for element in group.values()]


def _root(
    study: StudyInfo, *, system: SourceSystem, created: datetime, context: Literal["Submission", "Other"]
) -> ET.Element:
    attributes = {
        **NAMESPACES,
        "ODMVersion": "1.3.2",
        "FileType": "Snapshot",
        "FileOID": f"{study.study_oid}.define",
        "CreationDateTime": iso_time(created),
    }
    if system.originator:
        attributes["Originator"] = system.originator
    attributes |= {"SourceSystem": system.name, "SourceSystemVersion": system.version, "def:Context": context}
    return ET.Element("ODM", attributes)


def _study(root: ET.Element, study: StudyInfo) -> ET.Element:
    element = ET.SubElement(root, "Study", {"OID": study.study_oid})
    described = ET.SubElement(element, "GlobalVariables")
    ET.SubElement(described, "StudyName").text = study.name
    ET.SubElement(described, "StudyDescription").text = study.description
    ET.SubElement(described, "ProtocolName").text = study.protocol_name
    return ET.SubElement(
        element,
        "MetaDataVersion",
        {
            "OID": metadata_version_oid(study),
            "Name": f"{study.name}, data definitions",
            "Description": f"Data definitions of {study.name}",
            "def:DefineVersion": "2.1.0",
        },
    )


def _standards(version: ET.Element, standards: Sequence[Standard]) -> None:
    if standards:
        element = ET.SubElement(version, "def:Standards")
        for each in dict.fromkeys(standards):
            attributes = {"OID": each.oid, "Name": each.name, "Type": "IG", "Version": each.version}
            ET.SubElement(element, "def:Standard", {**attributes, "Status": "Final"})


def _dataset(parts: _Parts, dataset: Dataset, *, standard: Standard | None) -> None:
    name, leaf = dataset.name, f"LF.{dataset.name}"
    attributes = {"OID": dataset_oid(name)}
    if dataset.purpose == "Tabulation":
        attributes["Domain"] = name
    attributes |= {
        "Name": name,
        "SASDatasetName": name,
        "Repeating": "No" if dataset.class_name == _ONE_ROW_A_SUBJECT else "Yes",
        "IsReferenceData": "No",
        "Purpose": dataset.purpose,
        "def:Structure": dataset.structure,
        "def:ArchiveLocationID": leaf,
        **({"def:StandardOID": standard.oid} if standard else {"def:IsNonStandard": "Yes"}),
    }
    if dataset.frame.empty:
        attributes |= {"def:HasNoData": "Yes", "def:CommentOID": _comment(parts, name, "No record was made.")}
    element = _described(ET.Element("ItemGroupDef", attributes), dataset.label)
    for order, variable in enumerate(dataset.variables, start=1):
        reference = _reference(parts, variable_oid(name, variable.name), variable, order=order)
        if variable.name in dataset.keys:
            reference.set("KeySequence", str(dataset.keys.index(variable.name) + 1))
        element.append(reference)
        _variable(parts, dataset, variable)
    ET.SubElement(element, "def:Class", {"Name": dataset.class_name})
    file_name = f"{name.lower()}.{'xpt' if dataset.fits_transport else 'json'}"
    element.append(_leaf(leaf, href=file_name, title=file_name))
    parts.datasets[name] = element


def _variable(parts: _Parts, dataset: Dataset, variable: Variable) -> None:
    oid = variable_oid(dataset.name, variable.name)
    every = np.ones(len(dataset.frame), dtype=np.bool_)
    element = _item(parts, oid, variable, name=variable.name, size=_size(dataset, variable, every))
    if iso := iso_type(dataset, variable):
        element.set("DataType", iso)
        del element.attrib["Length"]  # of text; the schema of ISO 8601 types has none
    levels = [each for each in dataset.value_level if each.variable == variable.name]
    if levels:
        value_list = f"VL.{dataset.name}.{variable.name}"
        ET.SubElement(element, "def:ValueListRef", {"ValueListOID": value_list})
        parts.value_lists[value_list] = ET.Element("def:ValueListDef", {"OID": value_list})
        for order, level in enumerate(levels, start=1):
            reference = _level(parts, dataset, level, order=order)
            parts.value_lists[value_list].append(reference)


def _level(parts: _Parts, dataset: Dataset, level: ValueLevel, *, order: int) -> ET.Element:
    place = f"{level.where_variable}.{level.where_value}"
    oid, clause = f"{variable_oid(dataset.name, level.variable)}.{place}", f"WC.{dataset.name}.{place}"
    where = dataset.frame[level.where_variable].to_numpy(dtype=object) == _where_value(dataset, level)
    _item(parts, oid, level, name=level.variable, size=_size(dataset, level, np.asarray(where)))
    reference = _reference(parts, oid, level, order=order)
    ET.SubElement(reference, "def:WhereClauseRef", {"WhereClauseOID": clause})
    if clause not in parts.where_clauses:
        definition = ET.Element("def:WhereClauseDef", {"OID": clause})
        tested = variable_oid(dataset.name, level.where_variable)
        check = ET.SubElement(
            definition, "RangeCheck", {"Comparator": "EQ", "SoftHard": "Soft", "def:ItemOID": tested}
        )
        ET.SubElement(check, "CheckValue").text = level.where_value
        parts.where_clauses[clause] = definition
    return reference


def _where_value(dataset: Dataset, level: ValueLevel) -> str | float:
    kinds = {each.name: each.kind for each in dataset.variables}
    return level.where_value if kinds[level.where_variable] == "text" else float(level.where_value)


def _reference(parts: _Parts, oid: str, described: Variable | ValueLevel, *, order: int) -> ET.Element:
    attributes = {
        "ItemOID": oid,
        "OrderNumber": str(order),
        "Mandatory": "Yes" if described.mandatory else "No",
    }
    if described.method:
        what = oid.removeprefix("IT.")
        method = ET.Element(
            "MethodDef", {"OID": f"MT.{what}", "Name": f"Derivation of {what}", "Type": "Computation"}
        )
        parts.methods[what] = _described(method, described.method)
        attributes["MethodOID"] = f"MT.{what}"
    return ET.Element("ItemRef", attributes)


def _item(
    parts: _Parts, oid: str, described: Variable | ValueLevel, *, name: str, size: Mapping[str, int]
) -> ET.Element:
    data_type = "integer" if described.kind == "date" else described.kind
    attributes = {"OID": oid, "Name": name, "DataType": data_type}
    attributes |= {what: str(number) for what, number in size.items()}
    attributes["SASFieldName"] = name
    if described.display_format:
        attributes["def:DisplayFormat"] = described.display_format
    if described.comment:
        attributes["def:CommentOID"] = _comment(parts, oid.removeprefix("IT."), described.comment)
    element = _described(ET.Element("ItemDef", attributes), described.label)
    if described.codelist:
        ET.SubElement(element, "CodeListRef", {"CodeListOID": _codelist(parts, described.codelist)})
    _origin(element, described, where=oid)
    parts.items[oid] = element
    return element


def _origin(element: ET.Element, described: Variable | ValueLevel, *, where: str) -> None:
    origin = ET.SubElement(element, "def:Origin", {"Type": described.origin})
    if described.origin != "Predecessor":
        if described.source:
            origin.set("Source", described.source)
        return
    if not described.predecessor:
        msg = "origin is Predecessor: expected the name of the variable copied, such as ADSL.TRTSDT; state it"
        raise DatasetError(msg, where=where)
    _described(origin, described.predecessor)


def _size(dataset: Dataset, described: Variable | ValueLevel, rows: npt.NDArray[np.bool_]) -> dict[str, int]:
    """Return length, and significant digits of a float; of a value level, from its rows only."""
    column = dataset.frame[described.variable if isinstance(described, ValueLevel) else described.name]
    if described.kind == "text":
        return {"Length": described.length or max([1, *(text_bytes(each) for each in column[rows].unique())])}
    values = numbers(column)[rows]
    values = values[~np.isnan(values)]
    ends = (values.min(), values.max()) if len(values) else ()
    whole = max([1, *(len(f"{value:.0f}") for value in ends)])
    if described.kind != "float":
        return {"Length": described.length or whole}
    _, width, decimals = parsed_format(described.display_format)
    stated = described.significant_digits if isinstance(described, ValueLevel) else None
    digits = stated if stated is not None else decimals if width else max(_DOUBLE_DIGITS - whole, 0)
    return {"Length": described.length or width or whole + digits, "SignificantDigits": digits}


def _codelist(parts: _Parts, codelist: Codelist) -> str:
    oid = f"CL.{codelist.name}"
    if parts.known_codelists.setdefault(codelist.name, codelist) != codelist:
        msg = f"codelist {codelist.name} has two meanings: expected one list a name; rename one of them"
        raise DatasetError(msg)
    if oid not in parts.codelists:
        attributes = {"OID": oid, "Name": codelist.name, "DataType": codelist.data_type}
        element = ET.Element("CodeList", {**attributes, "def:IsNonStandard": "Yes"})
        decoded = any(decode not in ("", code) for code, decode in codelist.terms)
        for order, (code, decode) in enumerate(codelist.terms, start=1):
            item = ET.SubElement(
                element,
                "CodeListItem" if decoded else "EnumeratedItem",
                {"CodedValue": code, "OrderNumber": str(order)},
            )
            if decoded:
                _translated(ET.SubElement(item, "Decode"), decode or code)
        parts.codelists[oid] = element
    return oid


def _comment(parts: _Parts, what: str, text: str) -> str:
    oid = f"COM.{what}"
    parts.comments[oid] = _described(ET.Element("def:CommentDef", {"OID": oid}), text)
    return oid


def _leaf(identifier: str, *, href: str, title: str) -> ET.Element:
    element = ET.Element("def:leaf", {"ID": identifier, "xlink:href": href})
    ET.SubElement(element, "def:title").text = title
    return element


def _described(element: ET.Element, text: str) -> ET.Element:
    _translated(ET.SubElement(element, "Description"), text)
    return element


def _translated(element: ET.Element, text: str) -> None:
    ET.SubElement(element, "TranslatedText", {"xml:lang": "en"}).text = text


def _check_unique(names: Sequence[str], *, what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"{what} {twice[0]} is given twice: expected each once; leave one out"
        raise DatasetError(msg)


def _written(root: ET.Element) -> bytes:
    for element in root.iter():
        for text in (element.text or "", *element.attrib.values()):
            if _NO_XML.search(text):
                msg = f"{element.tag}: {text!r} has characters that cannot stand in XML; remove them"
                raise DatasetError(msg)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'.encode()
