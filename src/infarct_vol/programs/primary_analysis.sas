/* Infarct volume: descriptive statistics, analysis of covariance per visit and MMRM.
   Reads   ../adinfvol.xpt and ../adsl.xpt (run it from the folder it lies in)
   Scope   PARAMCD INFVOL, ANL01FL "Y"; change from baseline at the visits after it
   Scales  mL and cube root of mL
   With about 27 participants the models are descriptive: the trial is not powered for them.
   SAS/STAT 9.4 or later. */

libname adinf xport "../adinfvol.xpt" access=readonly;
libname adsub xport "../adsl.xpt" access=readonly;

/* Reference arm of the differences: as in the tables, the first arm in alphabetical order with placebo or
   control in its name, else the last. Name another one here. */
%let reference = ;

proc copy in=adinf out=work; run;
proc copy in=adsub out=work; run;

/* A blinded trial has no TRTP, and nothing below means anything without it. */
%macro stop_if_blinded;
  %local id where;
  %let id = %sysfunc(open(work.adinfvol));
  %let where = %sysfunc(varnum(&id, TRTP));
  %let id = %sysfunc(close(&id));
  %if &where = 0 %then %do;
    %put ERROR: adinfvol.xpt has no TRTP: the trial is blinded. Build the tables with the randomisation list.;
    %abort cancel;
  %end;
%mend;
%stop_if_blinded

data analysis;
  set adinfvol;
  where PARAMCD = "INFVOL" and ANL01FL = "Y" and AVISITN > 0 and not missing(TRTP);
  if missing(BASE) or missing(AVAL) then delete;
  CBASE = sign(BASE) * abs(BASE) ** (1/3);
  CCHG = sign(AVAL) * abs(AVAL) ** (1/3) - CBASE;
run;

proc sql noprint;
  create table arms as
    select distinct TRTP, find(TRTP, "placebo", "i") > 0 or find(TRTP, "control", "i") > 0 as told
    from analysis;
  select TRTP into :placebo separated by "|" from arms where told order by TRTP;
  select TRTP into :every separated by "|" from arms order by TRTP;
quit;
%macro settle_reference;
  %if %length(&reference) = 0 %then %do;
    %if %symexist(placebo) %then %let reference = %scan(%superq(placebo), 1, |);
    %else %let reference = %scan(%superq(every), -1, |);
  %end;
  %put NOTE: differences are to the arm &reference;
%mend;
%settle_reference

/* Participants in the trial, beside those who can be analysed. */
proc freq data=adsl;
  title "Participants";
  tables STUDYID / missing;
run;

/* 1. Descriptive statistics: quartiles by definition 5, Student's interval of the mean, distribution-free
      interval of the median. */
proc sort data=analysis; by AVISITN AVISIT TRTP; run;
proc means data=analysis qntldef=5 n mean std median q1 q3 min max clm alpha=0.05;
  title "Infarct volume (mL) and change from baseline";
  by AVISITN AVISIT;
  class TRTP;
  var BASE AVAL CHG;
run;
proc univariate data=analysis pctldef=5 ciquantdf(alpha=0.05);
  title "Distribution-free intervals of the quantiles";
  by AVISITN AVISIT;
  class TRTP;
  var AVAL CHG;
  ods select Quantiles;
run;

/* 2. and 3. on each scale */
%macro models(change=, base=, scale=);
  /* 2. Analysis of covariance per visit; LSMEANS stand at the mean baseline of the visit. */
  proc sort data=analysis; by AVISITN AVISIT; run;
  proc glm data=analysis plots=none;
    title "ANCOVA per visit, &scale";
    by AVISITN AVISIT;
    class TRTP;
    model &change = TRTP &base / solution clparm;
    lsmeans TRTP / stderr cl pdiff=control("&reference") adjust=t;
    output out=residuals_&change r=residual cookd=cooks_distance;
  run; quit;
  proc univariate data=residuals_&change normal;
    title "Residuals of the ANCOVA, &scale";
    by AVISITN AVISIT;
    var residual;
    ods select TestsForNormality;
  run;

  /* 3. MMRM: unstructured covariance, Kenward-Roger. LSMEANS stand at the mean baseline of all rows. */
  proc mixed data=analysis method=reml;
    title "MMRM, &scale, unstructured covariance";
    class USUBJID TRTP AVISIT;
    model &change = TRTP AVISIT TRTP*AVISIT &base &base*AVISIT / ddfm=kr solution;
    repeated AVISIT / subject=USUBJID type=un r rcorr;
    lsmeans TRTP*AVISIT / cl diff;
    /* of the differences, those to the reference at one and the same visit */
    ods output ConvergenceStatus=status_&change Diffs=differences_&change(
      where=(AVISIT = _AVISIT and (TRTP = "&reference" or _TRTP = "&reference")));
  run;
  proc print data=differences_&change noobs;
    title "MMRM, &scale: a row TRTP minus _TRTP; turn the sign where TRTP is the reference";
    var AVISIT TRTP _TRTP Estimate StdErr DF Probt Lower Upper;
  run;
  /* If status_&change says that type=un did not converge, replace it by type=cs (compound symmetry)
     and say so in the report. */
%mend;
%models(change=CHG, base=BASE, scale=mL)
%models(change=CCHG, base=CBASE, scale=cube root of mL)
title;
