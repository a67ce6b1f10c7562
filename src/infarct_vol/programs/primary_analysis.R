# Infarct volume: descriptive statistics, analysis of covariance per visit and MMRM.
#   Reads   ../adinfvol.xpt and ../adsl.xpt (run it from the folder it lies in: Rscript primary_analysis.R)
#   Scope   PARAMCD INFVOL, ANL01FL "Y"; change from baseline at the visits after it
#   Scales  mL and cube root of mL
# With about 27 participants the models are descriptive: the trial is not powered for them.
# Needs haven and emmeans; mmrm for Kenward-Roger, else nlme (its standard errors are not adjusted).

for (package in c("haven", "emmeans", "nlme")) {
  if (!requireNamespace(package, quietly = TRUE)) {
    stop("the R package ", package, " is missing: install it and run again", call. = FALSE)
  }
}
options(width = 140, digits = 10)

# Reference arm of the differences: as in the tables, the first arm in alphabetical order with placebo or
# control in its name, else the last. Name another one here.
reference <- NULL

adsl <- as.data.frame(haven::read_xpt("../adsl.xpt"))
adinfvol <- as.data.frame(haven::read_xpt("../adinfvol.xpt"))
if (!"TRTP" %in% names(adinfvol)) {
  stop("adinfvol.xpt has no TRTP: the trial is blinded. Build the tables with the randomisation list.",
       call. = FALSE)
}

analysis <- subset(
  adinfvol,
  PARAMCD == "INFVOL" & ANL01FL == "Y" & AVISITN > 0 & TRTP != "" & !is.na(BASE) & !is.na(AVAL)
)
if (nrow(analysis) == 0) {
  stop("adinfvol.xpt has no analysed row after baseline: there is nothing to model", call. = FALSE)
}
cube_root <- function(x) sign(x) * abs(x)^(1 / 3)
analysis$CBASE <- cube_root(analysis$BASE)
analysis$CCHG <- cube_root(analysis$AVAL) - analysis$CBASE
analysis <- analysis[order(analysis$USUBJID, analysis$AVISITN), ]
arms <- sort(unique(analysis$TRTP), method = "radix")
if (is.null(reference)) {
  told <- arms[grepl("placebo|control", arms, ignore.case = TRUE)]
  reference <- if (length(told)) told[1] else arms[length(arms)]
}
visits <- unique(analysis[order(analysis$AVISITN), "AVISIT"])
analysis$TRTP <- factor(analysis$TRTP, levels = arms)
analysis$AVISIT <- factor(analysis$AVISIT, levels = visits)
analysis$USUBJID <- factor(analysis$USUBJID)
cat("Participants in the trial:", nrow(adsl), "; in the models:", nlevels(analysis$USUBJID), "\n")
cat("Reference arm:", reference, "\n")

# One line per number that the tables also hold; NA where a program does not give it.
result <- function(model, scale, visit, term, arm, against, numbers) {
  shown <- formatC(as.numeric(numbers), digits = 12, format = "g")
  cat(paste(c("RESULT", model, scale, visit, term, arm, against, shown), collapse = "\t"), "\n", sep = "")
}

# 1. Descriptive statistics: quartiles by definition 5 (type 2), Student's interval of the mean,
#    distribution-free interval of the median.
median_limits <- function(x) {
  n <- length(x)
  rank <- qbinom(0.025, n, 0.5)
  if (n < 1 || rank < 1) return(c(NA, NA))
  sort(x)[c(rank, n + 1 - rank)]
}
describe <- function(x) {
  n <- length(x)
  half <- if (n > 1) qt(0.975, n - 1) * sd(x) / sqrt(n) else NA
  quartiles <- quantile(x, c(0.5, 0.25, 0.75), type = 2, names = FALSE)
  c(n = n, mean = mean(x), sd = sd(x), median = quartiles[1], q1 = quartiles[2], q3 = quartiles[3],
    min = min(x), max = max(x), mean_low = mean(x) - half, mean_high = mean(x) + half,
    median_low = median_limits(x)[1], median_high = median_limits(x)[2])
}
for (visit in visits) for (arm in arms) {
  rows <- analysis[analysis$AVISIT == visit & analysis$TRTP == arm, ]
  if (nrow(rows) == 0) next
  cat("\nDescriptive statistics,", visit, ",", arm, "\n")
  print(rbind(BASE = describe(rows$BASE), AVAL = describe(rows$AVAL), CHG = describe(rows$CHG)))
}

show_emmeans <- function(means, model, scale, visit) {
  shown <- as.data.frame(summary(means, infer = c(TRUE, TRUE)))
  names(shown)[names(shown) %in% c("lower.CL", "asymp.LCL")] <- "low"
  names(shown)[names(shown) %in% c("upper.CL", "asymp.UCL")] <- "high"
  for (i in seq_len(nrow(shown))) {
    at <- if (is.null(visit)) as.character(shown$AVISIT[i]) else visit
    result(model, scale, at, "adjusted_mean", as.character(shown$TRTP[i]), "",
           shown[i, c("emmean", "SE", "df", "low", "high", "p.value")])
  }
  if (length(arms) < 2) return(invisible())
  by <- if (is.null(visit)) "AVISIT" else NULL
  different <- emmeans::contrast(means, "trt.vs.ctrl", ref = match(reference, arms), by = by, adjust = "none")
  shown <- as.data.frame(summary(different, infer = c(TRUE, TRUE), adjust = "none"))
  names(shown)[names(shown) %in% c("lower.CL", "asymp.LCL")] <- "low"
  names(shown)[names(shown) %in% c("upper.CL", "asymp.UCL")] <- "high"
  others <- rep(setdiff(arms, reference), length.out = nrow(shown))
  for (i in seq_len(nrow(shown))) {
    at <- if (is.null(visit)) as.character(shown$AVISIT[i]) else visit
    result(model, scale, at, "difference", others[i], reference,
           shown[i, c("estimate", "SE", "df", "low", "high", "p.value")])
  }
}

for (scale in c("raw", "cube_root")) {
  analysis$change <- if (scale == "raw") analysis$CHG else analysis$CCHG
  analysis$before <- if (scale == "raw") analysis$BASE else analysis$CBASE

  # 2. Analysis of covariance per visit, adjusted means at the mean baseline of the visit.
  for (visit in visits) {
    cat("\nANCOVA,", scale, ",", visit, "\n")
    rows <- analysis[analysis$AVISIT == visit, ]
    formula <- if (length(arms) > 1) change ~ TRTP + before else change ~ before
    one <- lm(formula, data = rows)
    print(summary(one))
    cat("Shapiro-Wilk p", shapiro.test(residuals(one))$p.value,
        "; largest Cook's distance", max(cooks.distance(one)), "\n")
    if (length(arms) > 1) show_emmeans(emmeans::emmeans(one, ~TRTP), "ancova", scale, visit)
  }

  # 3. MMRM: unstructured covariance, Kenward-Roger; adjusted means at the mean baseline of all rows.
  if (length(arms) < 2 || length(visits) < 2) next
  cat("\nMMRM,", scale, "\n")
  if (requireNamespace("mmrm", quietly = TRUE)) {
    model <- mmrm::mmrm(
      change ~ TRTP + AVISIT + TRTP:AVISIT + before + before:AVISIT + us(AVISIT | USUBJID),
      data = analysis, method = "Kenward-Roger", reml = TRUE
    )
    print(summary(model))
    show_emmeans(emmeans::emmeans(model, ~ TRTP | AVISIT), "repeated_measures", scale, NULL)
    next
  }
  cat("mmrm is not installed: the same model by nlme::gls, with standard errors that are not adjusted\n")
  analysis$place <- as.integer(analysis$AVISIT)
  structures <- list(
    "unstructured" = list(nlme::corSymm(form = ~ place | USUBJID), nlme::varIdent(form = ~ 1 | AVISIT)),
    "compound symmetry" = list(nlme::corCompSymm(form = ~ 1 | USUBJID), NULL)
  )
  for (structure in names(structures)) {
    model <- tryCatch(
      nlme::gls(
        change ~ TRTP + AVISIT + TRTP:AVISIT + before + before:AVISIT,
        data = analysis, method = "REML", correlation = structures[[structure]][[1]],
        weights = structures[[structure]][[2]],
        control = nlme::glsControl(maxIter = 500, msMaxIter = 500, tolerance = 1e-10, msTol = 1e-12)
      ),
      error = function(problem) {
        cat(structure, "could not be fitted:", conditionMessage(problem), "\n")
        NULL
      }
    )
    if (!is.null(model)) break
  }
  if (is.null(model)) {
    cat("neither covariance could be fitted to these data: there is no MMRM\n")
    next
  }
  cat("Covariance:", structure, "\n")
  print(summary(model))
  means <- emmeans::emmeans(model, ~ TRTP | AVISIT, mode = "df.error", data = analysis)
  show_emmeans(means, "repeated_measures_gls", scale, NULL)
}
