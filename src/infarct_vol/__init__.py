"""Infarct volume in mL from DWI and FLAIR, and its change from baseline.

    import infarct_vol as iv

    mask = iv.segment_acute(dwi="trace.nii.gz", adc="ADC.nii.gz")
    print(iv.measure(mask))

Arrays are (I, J, K); points are scanner RAS+ millimetres; volumes are mL; ADC is in 1e-6 mm2/s.
The public names are listed in ``__init__.pyi`` and loaded when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
