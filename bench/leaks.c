/* Tells leaks.pl, and the soak test, how many bytes the process has taken from malloc and not given back, in all threads
   together, and how many scalars this perl has. */
#define PERL_NO_GET_CONTEXT
#include "EXTERN.h"
#include "perl.h"
#include "XSUB.h"
#include <malloc.h>

XS(leaks_in_use);
XS(leaks_in_use)
{
    dXSARGS;
    struct mallinfo2 now = mallinfo2();

    PERL_UNUSED_VAR(cv);
    PERL_UNUSED_VAR(items);
    EXTEND(SP, 1);
    ST(0) = sv_2mortal(newSVuv((UV)(now.uordblks + now.hblkhd)));
    XSRETURN(1);
}

XS(leaks_scalars);
XS(leaks_scalars)
{
    dXSARGS;

    PERL_UNUSED_VAR(cv);
    PERL_UNUSED_VAR(items);
    EXTEND(SP, 1);
    ST(0) = sv_2mortal(newSViv(PL_sv_count));
    XSRETURN(1);
}

/* Gives back what malloc holds and nobody uses. How much that is differs by megabytes from one moment to the next. */
XS(leaks_trim);
XS(leaks_trim)
{
    dXSARGS;

    PERL_UNUSED_VAR(cv);
    PERL_UNUSED_VAR(items);
    malloc_trim(0);
    XSRETURN_EMPTY;
}
