r"""TeX formulas as plain text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paperworks.papers.plainmath import plain_math


@pytest.mark.parametrize(
    ("tex", "plain"),
    [
        (r"10^{-4}", "10^-4"),
        (r"3\times 10^{-5}", "3×10^-5"),
        (r"2.7\times", "2.7×"),
        (r"256\times 256", "256×256"),
        (r"21.7\%", "21.7%"),
        (r"\$3.50", "$3.50"),
        (r"\sim 3\%", "~3%"),
        (r"\approx 1{,}000", "≈ 1,000"),
        (r"1\,000\,000", "1,000,000"),
        (r"25.3\,\text{GB}", "25.3 GB"),
        (r"7\text{B}", "7B"),
        (r"1.5\mathrm{e}{-4}", "1.5e-4"),
        (r"\mathbf{71.2}_{\pm 0.3}", "71.2±0.3"),
        (r"71.2^{*}", "71.2*"),
        (r"\textbf{25.3\%}", "25.3%"),
        (r"\textcolor{red}{71.2}", "71.2"),
        (r"{\color[rgb]{1,0,0}\uparrow 2.1}", "↑2.1"),
        (r"90^{\circ}", "90°"),
        (r"5^{\text{th}}", "5th"),
        (r"p{<}0.05", "p < 0.05"),
        (r"\chi^{2}(2,N=13)=15.05", "χ^2(2, N = 13) = 15.05"),
        (r"x\in\mathbb{R}^{d\times k}", "x ∈ R^(d×k)"),
        (r"\frac{a+b}{2}", "(a+b)/2"),
        (r"\sqrt[3]{x}", "3√x"),
        (r"\operatorname{softmax}\left(\frac{QK^{\top}}{\sqrt{d_{k}}}\right)V", "softmax((QK^⊤)/√d_k)V"),
        (r"O(n\log n)", "O(n log n)"),
        (r"\arg\max_{x}f(x)", "arg max_x f(x)"),
        (r"\mathcal{L}_{\text{CE}}(\theta)=-\log p_{\theta}(y_{i}|x_{i})", "L_CE(θ) = -log p_θ(y_i|x_i)"),
        (r"\left.\frac{df}{dx}\right|_{x=0}", "df/dx|_(x = 0)"),
        (r"a\not=b", "a ≠ b"),
        (r"f^{\prime}(x)+g''(x)", "f′(x)+g′′(x)"),
        (r"\begin{array}{cc}1&2\\ 3&4\end{array}", "1 2 3 4"),
        (r"\hat{y}_{i}+\unknown z", "y_i+unknown z"),
        (r"x % a comment", "x"),
        (r"\frac", "/"),
        ("", ""),
    ],
)
def test_a_formula_is_what_a_reader_would_write(tex, plain):
    assert plain_math(tex) == plain


@pytest.mark.parametrize(
    "tex", ["{" * 5000, "^" * 5000, r"\frac" * 5000, "}" * 50, "\\", "^{", "[", r"\begin", "\ud800"]
)
def test_nonsense_raises_nothing(tex):
    assert isinstance(plain_math(tex), str)


@given(st.text(alphabet=r"\{}^_&~[]%$ ,.0123abfracsqrttext'<>=" + "\n"))
def test_whatever_comes_in_one_line_without_tex_grouping_comes_out(tex):
    plain = plain_math(tex)
    assert "\n" not in plain
    assert plain == plain.strip()


@given(st.decimals(min_value=0, max_value=10**6, places=2))
def test_a_number_stays_the_number_it_is(number):
    assert plain_math(f"\\mathbf{{{number}}}\\%") == f"{number}%"
