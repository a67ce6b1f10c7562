"""Masks as DICOM: SEG objects and colour overlays for a PACS (extra ``dicom``)."""

from infarct_vol.dicom.export import Exported, counted_mask, export_segmentation, segmentation_name

__all__ = ["Exported", "counted_mask", "export_segmentation", "segmentation_name"]
