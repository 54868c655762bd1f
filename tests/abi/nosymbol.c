/* SPDX-License-Identifier: Apache-2.0 */

/* A shared object that is no handler. */

int yardmaster_test_nosymbol(void);
int yardmaster_test_nosymbol(void)
{
        return 0;
}
