"""A real catchment, a real model, a real calibration: what ``hmp demo`` shows, and how to do the same.

The hydrology is in pure rooms that know no database: `fulda` (the record), `evapotranspiration`
(Oudin's formula), `gr4j` (the model), `periods` (the split sample), `calibrate` (spotpy's SCE-UA) and
`hydrograph` (the figure).
"""
